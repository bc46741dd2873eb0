"""Evaluate trained VSE-infinity networks: recall of caption and image retrieval on a test split.

python eval.py
python eval.py --model_path runs/regions/model_best.pth.tar --ensemble runs/grids/model_best.pth.tar
"""

# What `python train.py` saves; any checkpoint of ours or of the original code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the (first) model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace

from vse.cli import run
from vse.networks import Trained
from vse.options import EvaluationOptions
from VSEinfty_LSEH.network import FOLDER


@dataclass
class Options(EvaluationOptions):
    """What to evaluate, and what to write."""

    bert: str = "bert-base-uncased"
    """Folder or hub name of the BERT of a checkpoint of the original code; ours contain their word pieces."""


def main(options: Options) -> None:
    """Print the recall table; write scores and metrics if asked."""
    from vse.evaluation.script import run_evaluation

    def with_bert(trained: Trained) -> Trained:
        return replace(trained, options=replace(trained.options, bert=options.bert))

    run_evaluation(FOLDER, options, with_bert)


DEFAULTS = {"model_path": MODEL_PATH, "data_path": DATA_PATH}

if __name__ == "__main__":
    run(main, Options, defaults=DEFAULTS)
