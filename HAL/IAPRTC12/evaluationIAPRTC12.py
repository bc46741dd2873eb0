"""Evaluate a HAL network trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None


from HAL import evaluation
from vse.cli import run
from vse.options import on_iaprtc12

if __name__ == "__main__":
    run(
        lambda options: evaluation.main(on_iaprtc12(options)),
        evaluation.Options,
        defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH},
    )
