"""The published name of evaluation.py: evaluate a trained GSMN, or the mean of two.

python test.py
python test.py --model_path runs/dense/model_best.pth.tar --ensemble_with runs/sparse/model_best.pth.tar
"""

MODEL_PATH = (
    "runs/runX/model_best.pth.tar"  # what `python train.py` saves; any checkpoint of ours or the published code
)
DATA_PATH = None  # folder of the data sets; None: the data that the model was trained on

from dataclasses import dataclass  # noqa: E402

from GSMN_LSEH import evaluation  # noqa: E402
from vse.options import run  # noqa: E402


@dataclass
class Options(evaluation.Options):
    """What to evaluate."""

    model_path: str = MODEL_PATH
    """Checkpoint to evaluate."""
    data_path: str | None = DATA_PATH
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""


if __name__ == "__main__":
    run(evaluation.main, Options)
