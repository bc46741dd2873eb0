"""Train SGRAF (SGR or SAF) with LSEH or another objective.

    python train.py                                            the built-in demo data set, minutes on two cores
    python train.py --data_name f30k_precomp --num_epochs 40 --lr_update 30 --module_name SGR
    python train.py --data_name f30k_precomp --num_epochs 30 --lr_update 20 --module_name SAF
    python train.py ... --loss lmh --learning_rate 0.0002 --batch_size 128     the authors' SGRAF, without LSEH
    python train.py ... --resume auto                          resume after an interruption, to the same weights

SGRAF is the mean of an SGR's and a SAF's scores: train both, then evaluate them together with evaluation.py.
The loss stays on a plateau (2 x batch size x margin) before it falls; on Flickr30K, the authors report about
8 epochs (SAF) or 13 (SGR).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from SGRAF_LSEH import loss
from SGRAF_LSEH.network import FOLDER, NetworkOptions
from vse.cli import run
from vse.options import DataOptions, ObjectiveOptions, TrainingOptions, on_demo
from vse.ranges import AtLeast1, NonNegative

DEMO = {
    # SAF with the sum of hinges leaves the plateau within a hundred steps; with hardest negatives it takes epochs.
    "module_name": "SAF",
    "num_epochs": 6,
    "batch_size": 32,
    "embed_size": 64,
    "word_dim": 64,
    "sim_dim": 32,
    "learning_rate": 0.002,
    "lr_update": 5,
}


@dataclass
class SGRAFTrainingOptions(TrainingOptions):
    """The training run."""

    num_epochs: AtLeast1 = 40
    """Passes over the training captions."""
    learning_rate: NonNegative = 0.0004
    """Initial learning rate."""
    lr_update: AtLeast1 = 20
    """Epochs between divisions of the learning rate by ten."""
    val_step: AtLeast1 = 1000
    """Steps between validations; every epoch ends with one too."""
    logger_name: str = "runs/{data}_{module}/checkpoint"
    """Run folder; {data} and {module} are replaced (the original code: runs/f30k_SGR/checkpoint for all)."""


@dataclass
class Options:
    """Defaults are those of the original LSEH variant."""

    data: DataOptions = field(default_factory=lambda: DataOptions(batch_size=84))
    training: SGRAFTrainingOptions = field(default_factory=SGRAFTrainingOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)


def run_folder(options: Options) -> str:
    """Return `--logger_name` with data set and module filled in, so that SGR and SAF have folders of their own."""
    from vse.data.datasets import DEMO as DEMO_NAME
    from vse.data.datasets import canonical_name

    data = options.data
    name = data.data_name or (Path(data.data_path).resolve().name if data.data_path else DEMO_NAME)
    named = options.training.logger_name.replace("{data}", canonical_name(name))
    return named.replace("{module}", options.network.module_name)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    from vse.losses import build_objective, resolve
    from vse.training.loop import train
    from vse.training.recipe import Recipe

    options.training = replace(options.training, logger_name=run_folder(options))
    options.objective = resolve(options.objective, loss.DEMO if on_demo(options.data) else loss.DEFAULTS)
    tags = {"loss": "Loss", "image_to_text": "LeS", "text_to_image": "LeIm", "rsum": "r_sum"}
    train(FOLDER, options, build_objective(options.objective), Recipe(tags=tags))


if __name__ == "__main__":
    run(main, Options, demo=DEMO, shown=loss.DEFAULTS.shown)
