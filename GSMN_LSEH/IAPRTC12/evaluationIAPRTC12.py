"""Evaluate a GSMN trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None


from GSMN_LSEH import evaluation
from vse.cli import run_on_iaprtc12

if __name__ == "__main__":
    run_on_iaprtc12(evaluation.main, evaluation.Options, {"model_path": MODEL_PATH, "data_path": DATA_PATH})
