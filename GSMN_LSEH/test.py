"""The published name of evaluation.py: evaluate a trained GSMN, or the mean of two.

python test.py
python test.py --model_path runs/dense/model_best.pth.tar --ensemble_with runs/sparse/model_best.pth.tar
"""

# What `python train.py` saves; any checkpoint of ours or the published code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None


from GSMN_LSEH import evaluation
from vse.cli import run

if __name__ == "__main__":
    run(evaluation.main, evaluation.Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
