"""Evaluate VSE-infinity networks trained on IAPR TC-12."""

MODEL_PATH = "runs/IAPR/model_best.pth.tar"
# Folder of the data sets; None: the data that the (first) model was trained on.
DATA_PATH = None

from vse.cli import run_on_iaprtc12
from VSEinfty_LSEH import evaluation

DEFAULTS = {"model_path": MODEL_PATH, "data_path": DATA_PATH}

if __name__ == "__main__":
    run_on_iaprtc12(evaluation.main, evaluation.Options, DEFAULTS)
