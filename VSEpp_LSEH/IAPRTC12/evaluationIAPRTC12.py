"""Evaluate VSE++ networks trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12_vse++/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from vse.cli import run
from vse.options import EvaluationOptions, on_iaprtc12
from VSEpp_LSEH import evaluation

if __name__ == "__main__":
    defaults = {"model_path": MODEL_PATH, "data_path": DATA_PATH}
    run(lambda options: evaluation.main(on_iaprtc12(options)), EvaluationOptions, defaults=defaults)
