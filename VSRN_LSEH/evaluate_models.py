"""Evaluate two VSRN networks together: the mean of their scores, as VSRN's published numbers are made."""

# What `python train.py` saves, where a second run moves it aside.
MODEL_PATH = "runs/runX.1/model_best.pth.tar"
# What that second run saves, e.g. `python train.py --seed 1`.
MODEL_PATH2 = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the first model was trained on.
DATA_PATH = None

from vse.cli import run
from VSRN_LSEH.evaluation import Options, main

if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "ensemble": (MODEL_PATH2,), "data_path": DATA_PATH})
