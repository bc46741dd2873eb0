"""Evaluate a trained GSMN, or the mean of two: recall of caption and image retrieval on a test split.

python evaluation.py
python evaluation.py --model_path runs/dense/model_best.pth.tar --ensemble_with runs/sparse/model_best.pth.tar
python evaluation.py --model_path PUBLISHED --data_path $DATA_PATH --vocab_path $VOCAB_PATH --legacy_boxes
"""

# What `python train.py` saves; any checkpoint of ours or the published code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace

from torch import Tensor

from GSMN_LSEH import data, train
from vse.cli import run
from vse.data.datasets import Split
from vse.evaluation.scoring import ensemble
from vse.evaluation.script import evaluation_split, load_trained, report, restore, score, words_of
from vse.options import EvaluationOptions


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    ensemble_with: str | None = None
    """Second checkpoint: evaluate the mean of both models' scores (published: one dense, one sparse)."""
    legacy_boxes: bool = False
    """Boxes as the published evaluation has them: shrunken, and without --fold5 those of other images."""


def scores_of(model_path: str, options: Options) -> tuple[Tensor, Split, str]:
    """Scores [images, captions] of a checkpoint, the split and the data set's name."""
    trained = load_trained(model_path, train.NAME, train.Options)
    split, folder = evaluation_split(options, trained)
    vocabulary, evaluation_data = words_of(split, folder, options, trained)
    trained = replace(
        trained,
        options=replace(trained.options, legacy_boxes=trained.options.legacy_boxes or options.legacy_boxes),
    )
    data.add_graphs(evaluation_data, vocabulary, trained.options, legacy_rows=not options.fold5)
    network = restore(train.build(trained.options, split.images.shape, len(vocabulary)), trained)
    return score(network, evaluation_data, options), split, folder.name


def main(options: Options) -> None:
    """Print the recall table; write similarities and metrics if asked."""
    scores, split, name = scores_of(options.model_path, options)
    title = options.model_path
    if options.ensemble_with is not None:
        scores = ensemble([scores, scores_of(options.ensemble_with, options)[0]])
        title = f"mean of {options.model_path} and {options.ensemble_with}"
    report(scores, split, options, f"{title} on {name} {split.name}")


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
