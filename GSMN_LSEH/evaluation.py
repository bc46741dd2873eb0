"""Evaluate trained GSMN networks, alone or together: recall of caption and image retrieval on a test split.

python evaluation.py
python evaluation.py --model_path runs/dense/model_best.pth.tar --ensemble runs/sparse/model_best.pth.tar
python evaluation.py --model_path ORIGINAL --data_path $DATA_PATH --vocab_path $VOCAB_PATH --legacy_boxes
"""

# What `python train.py` saves; any checkpoint of ours or of the original code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace

from GSMN_LSEH.network import FOLDER
from vse.cli import run
from vse.networks import Trained
from vse.options import EvaluationOptions, Switch


@dataclass
class Options(EvaluationOptions):
    """What to evaluate, and what to write."""

    legacy_boxes: Switch = False
    """Boxes as the original evaluation has them: shrunken, and without --fold5 those of other images."""


def main(options: Options) -> None:
    """Print the recall table; write scores and metrics if asked."""
    from GSMN_LSEH import data
    from vse.evaluation.script import run_evaluation

    def with_boxes(trained: Trained) -> Trained:
        if not (trained.options.legacy_boxes or options.legacy_boxes):
            return trained
        read = data.reader(trained.options.graph == "reference", trained.options.is_sparse, True, not options.fold5)
        return replace(trained, folder=replace(trained.folder, reader=lambda _: read))

    run_evaluation(FOLDER, options, with_boxes)


DEFAULTS = {"model_path": MODEL_PATH, "data_path": DATA_PATH}

if __name__ == "__main__":
    run(main, Options, defaults=DEFAULTS)
