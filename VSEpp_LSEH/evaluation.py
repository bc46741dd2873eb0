"""Evaluate trained VSE++ networks: recall of caption and image retrieval on a test split."""

# What `python train.py` saves; any checkpoint of ours or of the original code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from vse.cli import run
from vse.options import EvaluationOptions
from VSEpp_LSEH.network import FOLDER


def main(options: EvaluationOptions) -> None:
    """Print the recall table; write scores and metrics if asked."""
    from vse.evaluation.script import run_evaluation

    run_evaluation(FOLDER, options)


if __name__ == "__main__":
    run(main, EvaluationOptions, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
