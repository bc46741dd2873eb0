"""Evaluate two VSRN networks together: the mean of their similarities, as VSRN's published numbers are made."""

# What `python train.py` saves, where a second run moves it aside.
MODEL_PATH = "runs/runX.1/model_best.pth.tar"
# What that second run saves, e.g. `python train.py --seed 1`.
MODEL_PATH2 = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the first model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace

from vse.cli import run
from vse.evaluation.scoring import ensemble
from vse.evaluation.script import report
from vse.options import EvaluationOptions
from VSRN_LSEH.evaluation import evaluate


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    model_path: str = MODEL_PATH
    """First checkpoint, of ours or of the published code."""
    model_path2: str = MODEL_PATH2
    """Second checkpoint; its options and vocabulary may be others."""
    data_path: str | None = DATA_PATH
    """Folder that holds the data set folders; default: where the first checkpoint's training data was."""


def main(options: Options) -> None:
    """Print the recall table of the mean; write similarities and metrics if asked."""
    first = evaluate(options, options.model_path)
    folder = str(first.split.captions_file.parent)
    second = evaluate(replace(options, data_path=folder, data_name=None), options.model_path2)
    title = f"mean of {options.model_path} and {options.model_path2} on {first.name}"
    report(ensemble([first.scores, second.scores]), first.split, options, title)


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
