"""Train VSRN with LSEH or another objective.

    python train.py                                            the built-in demo data set, about three CPU minutes
    python train.py --data_path $DATA_PATH --data_name f30k_precomp --logger_name runs/flickr_VSRN --max_violation --learning_rate 0.0004 --lr_update 5 --max_len 60
    python train.py ... --loss lmh                             max of hinges, VSRN's own objective
    python train.py ... --no_captioning                        the retrieval part alone
    python train.py ... --resume auto                          resume after an interruption, to the same weights

Expect both losses to fall within the first epoch and recall on dev to rise from chance (rsum 16 on the demo data, to
about 285); evaluate with evaluation.py.
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vse.cli import run
from vse.options import DataOptions, TrainingOptions
from vse.ranges import AtLeast1, NonNegative
from VSRN_LSEH import loss
from VSRN_LSEH.loss import LossOptions
from VSRN_LSEH.network import FOLDER, NetworkOptions

DEMO = {
    "batch_size": 64,
    "num_epochs": 8,
    "embed_size": 128,
    "word_dim": 64,
    "dim_hidden": 96,
    "dim_word": 64,
    "max_len": 30,
    "learning_rate": 0.001,
}


@dataclass
class VSRNTrainingOptions(TrainingOptions):
    """The training run."""

    learning_rate: NonNegative = 0.0004
    """Initial learning rate."""
    lr_update: AtLeast1 = 6
    """Epochs between divisions of the learning rate by ten."""
    selection: Literal["r1_r5", "rsum"] = "r1_r5"
    """The best model has the highest R@1 + R@5 of both directions on dev (published), or R@10 as well (repair)."""


@dataclass
class Options:
    """Defaults are those of the original LSEH variant."""

    data: DataOptions = field(default_factory=DataOptions)
    training: VSRNTrainingOptions = field(default_factory=VSRNTrainingOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    objective: LossOptions = field(default_factory=LossOptions)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    from vse.losses import build_objective, resolve
    from vse.training.loop import train
    from vse.training.recipe import FIRST_RECALLS, RSUM, Recipe

    options.objective = resolve(loss.renamed(options.objective), loss.DEFAULTS)
    recipe = Recipe(
        selection={"r1_r5": FIRST_RECALLS, "rsum": RSUM}[options.training.selection],
        tags={"loss": "Le", "retrieval": "Le_retrieval", "captioning": "Le_caption", "rsum": "Sum of Recall"},
    )
    train(FOLDER, options, build_objective(options.objective), recipe)


if __name__ == "__main__":
    run(main, Options, demo=DEMO, shown=loss.DEFAULTS.shown)
