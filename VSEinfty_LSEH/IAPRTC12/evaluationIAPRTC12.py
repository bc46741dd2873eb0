"""Evaluate VSE-infinity networks trained on IAPR TC-12."""

MODEL_PATH = "runs/IAPR/model_best.pth.tar"
DATA_PATH = None  # folder of the data sets; None: the data that the (first) model was trained on

from vse.options import run  # noqa: E402
from VSEinfty_LSEH import evaluation  # noqa: E402

DEFAULTS = {"model_path": MODEL_PATH, "data_path": DATA_PATH}

if __name__ == "__main__":
    run(evaluation.main, evaluation.Options, defaults=DEFAULTS)
