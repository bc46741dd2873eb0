"""Train SGRAF (SGR or SAF) with the LSEH objective or one of its rivals.

    python train.py                                            the embedded demo data set, minutes on two cores
    python train.py --data_name f30k_precomp --num_epochs 40 --lr_update 30 --module_name SGR
    python train.py --data_name f30k_precomp --num_epochs 30 --lr_update 20 --module_name SAF
    python train.py ... --loss lmh --learning_rate 0.0002 --batch_size 128     the published SGRAF without LSEH
    python train.py ... --resume auto                          go on after an interruption, to the same weights

SGRAF is the mean of an SGR's and a SAF's scores: train both, then evaluate them together with evaluation.py.
The loss stays at its plateau (2 x batch x margin) for a while before it falls: on Flickr30K for about 8 epochs (SAF) or
13 (SGR), as the authors report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from SGRAF_LSEH import data, loss
from SGRAF_LSEH.model import SGRAF
from vse.cli import run
from vse.console import say
from vse.data.datasets import DEMO, canonical_name
from vse.losses import ObjectiveOptions, build_objective, check_combination, resolve
from vse.options import DataOptions, EncoderOptions, TrainingOptions, on_demo
from vse.training.loop import train
from vse.training.runs import start_run

NAME = "SGRAF"
TAGS = {"loss": "Loss", "image_to_text": "LeS", "text_to_image": "LeIm", "rsum": "r_sum"}
DEMO_OPTIONS = {
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
class NetworkOptions(EncoderOptions):
    """The network's own options."""

    module_name: Literal["SGR", "SAF"] = "SGR"
    """SGR reasons over a graph of word-region similarities, SAF filters them."""
    sim_dim: int = 256
    """Size of a similarity vector."""
    bi_gru: bool = True
    """Read captions in both directions (the published flag turned it off; here --no_bi_gru does)."""
    no_txtnorm: bool = False
    """Do not normalise words."""
    sgr_step: int = 3
    """SGR: steps of graph reasoning."""
    memory_budget: float = 0.25
    """GB that the temporaries of one block of images x captions may take."""


@dataclass
class Options(NetworkOptions, ObjectiveOptions, TrainingOptions, DataOptions):
    """Defaults are those of the published LSEH variant."""

    batch_size: int = 84
    """Pairs in a training batch (of each process, under torchrun), items in an evaluation batch."""
    num_epochs: int = 40
    """Passes over the training captions."""
    learning_rate: float = 0.0004
    """Initial learning rate."""
    lr_update: int = 20
    """Epochs between divisions of the learning rate by ten."""
    val_step: int = 1000
    """Steps between validations, besides the one that ends each epoch."""
    logger_name: str = "runs/{data}_{module}/checkpoint"
    """Run folder; {data} and {module} stand for data set and module (published: runs/f30k_SGR/checkpoint for all)."""


def build(options: NetworkOptions, image_shape: tuple[int, ...], vocab_size: int) -> SGRAF:
    """The network that the options describe, for images of this shape (regions, features)."""
    return SGRAF(
        options.module_name,
        vocab_size,
        image_shape[0],
        image_shape[1],
        options.word_dim,
        options.embed_size,
        options.sim_dim,
        options.num_layers,
        options.bi_gru,
        options.no_imgnorm,
        options.no_txtnorm,
        options.sgr_step,
        int(options.memory_budget * 2**30),
    )


def run_folder(options: Options) -> str:
    """`--logger_name` with data set and module filled in, so that SGR and SAF do not move each other aside."""
    name = options.data_name or (Path(options.data_path).resolve().name if options.data_path else DEMO)
    return options.logger_name.replace("{data}", canonical_name(name)).replace("{module}", options.module_name)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    options = resolve(options, loss.DEMO if on_demo(options) else loss.DEFAULTS)
    objective = build_objective(options)
    say(f"objective: {objective}")
    check_combination(options, SGRAF.pairwise, SGRAF.bounded_scores)
    options = replace(options, logger_name=run_folder(options))
    training_run = start_run(options)
    training = data.training_data(options, objective.needs_descriptions)
    network = build(options, training.pairs.split.images.shape, len(training.vocabulary))
    train(NAME, training_run, network, objective, training, options, tags=TAGS)


if __name__ == "__main__":
    run(main, Options, demo=DEMO_OPTIONS)
