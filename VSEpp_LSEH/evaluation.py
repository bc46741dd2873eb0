"""Evaluate a trained VSE++ network: recall of caption and image retrieval on a test split."""

MODEL_PATH = (
    "runs/runX/model_best.pth.tar"  # what `python train.py` saves; any checkpoint of ours or the published code
)
DATA_PATH = None  # folder of the data sets; None: the data that the model was trained on

from dataclasses import dataclass  # noqa: E402

from vse.evaluation import evaluation_split, load_trained, report, restore, score, words_of  # noqa: E402
from vse.options import EvaluationOptions, run  # noqa: E402
from VSEpp_LSEH import data, train  # noqa: E402


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    model_path: str = MODEL_PATH
    """Checkpoint to evaluate."""
    data_path: str | None = DATA_PATH
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""


def main(options: Options) -> None:
    """Print the recall table; write similarities and metrics if asked."""
    trained = load_trained(options.model_path, train.NAME, train.Options)
    split, folder = evaluation_split(options, trained, data.split_opener(trained.options))
    vocabulary, words = words_of(split, folder, options, trained)
    network = restore(train.build(trained.options, split.images, len(vocabulary), pretrained=False), trained)
    report(score(network, words, options), split, options, f"{options.model_path} on {folder.name} {split.name}")


if __name__ == "__main__":
    run(main, Options)
