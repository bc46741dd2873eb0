"""Train VSE++ with LSEH or another objective.

    python train.py                                     the built-in demo data set, about a minute on two cores
    python train.py --data_path $DATA_PATH --data_name f30k_precomp --logger_name runs/f30k_vse++ --max_violation
    python train.py ... --loss lmh                      max of hinges, VSE++'s own objective
    python train.py ... --resume auto                   resume after an interruption, to the same weights

Expect the loss to fall within the first epoch and recall on dev to rise from chance; evaluate with evaluation.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vse.cli import run
from vse.options import DataOptions, ObjectiveOptions, TrainingOptions, on_demo
from VSEpp_LSEH import loss
from VSEpp_LSEH.network import FOLDER, NetworkOptions

DEMO = {
    "batch_size": 64,
    "num_epochs": 10,
    "embed_size": 256,
    "word_dim": 128,
    "learning_rate": 0.003,
    "lr_update": 8,
}
"""Sums of hinges, the original code's default without --max_violation, leave the cold start sooner."""


@dataclass
class Options:
    """Defaults are those of the original LSEH variant."""

    data: DataOptions = field(default_factory=DataOptions)
    training: TrainingOptions = field(default_factory=lambda: TrainingOptions(learning_rate=0.002, lr_update=2))
    network: NetworkOptions = field(default_factory=NetworkOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    from vse.losses import build_objective, resolve
    from vse.training.loop import train
    from vse.training.recipe import Recipe

    options.objective = resolve(options.objective, loss.DEMO if on_demo(options.data) else loss.DEFAULTS)
    tags = {"loss": "Le", "image_to_text": "LeS", "text_to_image": "LeIm", "rsum": "Sum of Recall"}
    train(FOLDER, options, build_objective(options.objective), Recipe(tags=tags))


if __name__ == "__main__":
    run(main, Options, demo=DEMO, shown=loss.DEFAULTS.shown)
