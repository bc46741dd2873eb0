"""Evaluate VSE-infinity networks trained on IAPR TC-12."""

MODEL_PATH = "runs/IAPR/model_best.pth.tar"
# Folder of the data sets; None: the data that the (first) model was trained on.
DATA_PATH = None

from vse.cli import run
from vse.options import on_iaprtc12
from VSEinfty_LSEH import evaluation

DEFAULTS = {"model_path": MODEL_PATH, "data_path": DATA_PATH}

if __name__ == "__main__":
    run(lambda options: evaluation.main(on_iaprtc12(options)), evaluation.Options, defaults=DEFAULTS)
