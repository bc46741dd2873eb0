"""Evaluate a HAL network trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12/model_best.pth.tar"
DATA_PATH = None  # folder of the data sets; None: the data that the model was trained on

from dataclasses import dataclass  # noqa: E402

from HAL import evaluation  # noqa: E402
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
