"""Evaluate SGR, SAF or their ensemble, trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12_SGR/checkpoint/model_best.pth.tar"
# Further checkpoints: SGRAF is the mean of an SGR's and a SAF's scores.
ENSEMBLE: tuple[str, ...] = ()
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from SGRAF_LSEH import evaluation
from vse.cli import run_on_iaprtc12

if __name__ == "__main__":
    defaults = {"model_path": MODEL_PATH, "ensemble": ENSEMBLE, "data_path": DATA_PATH}
    run_on_iaprtc12(evaluation.main, evaluation.Options, defaults)
