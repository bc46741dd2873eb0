"""Train GSMN with the LSEH objective or one of its rivals.

    python train.py                                            the embedded demo data set, seven CPU minutes
    python train.py --data_path "$DATA_PATH" --data_name f30k_precomp --vocab_path "$VOCAB_PATH" \\
        --logger_name runs/log --bi_gru --max_violation --lambda_softmax 20 --embed_size 1024 --is_sparse
    python train.py ... --lambda_softmax 10                    the published value on MS-COCO
    python train.py ... --graph propagate                      neighbours are mixed, as the paper describes it
    python train.py ... --resume auto                          go on after an interruption, to the same weights

Expect the loss to fall within the first epoch and recall on dev to rise from chance; evaluate with evaluation.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from GSMN_LSEH import data, loss
from GSMN_LSEH.model import GSMN
from vse.cli import run
from vse.console import say
from vse.errors import InputError
from vse.losses import ObjectiveOptions, build_objective, check_combination, resolve
from vse.options import DataOptions, EncoderOptions, TrainingOptions, on_demo
from vse.training.loop import train
from vse.training.runs import start_run

NAME = "GSMN"
DEMO = {
    "bi_gru": True,
    "lambda_softmax": 20.0,
    "num_epochs": 6,
    "batch_size": 64,
    "embed_size": 256,
    "word_dim": 128,
}


@dataclass
class NetworkOptions(EncoderOptions):
    """The network's own options."""

    bi_gru: bool = False
    """Read captions in both directions (published recipe: yes)."""
    no_txtnorm: bool = False
    """Do not normalise words."""
    lambda_softmax: float = 9.0
    """Factor of the attention's logits (published recipes: 20 for Flickr30K, 10 for MS-COCO)."""
    num_block: int = 16
    """Blocks of features that are compared apart, the size of a matching vector."""
    feat_dim: int | None = None
    """The published code's second name of --num_block; refused if it differs."""
    hid_dim: int = 32
    """Size of a convolved matching vector, a multiple of 8."""
    out_dim: int = 1
    """Outputs of the read-out, averaged."""
    is_sparse: bool = False
    """Words are neighbours where a parse connects them, else all of a caption's are."""
    graph: Literal["reference", "propagate"] = "reference"
    """reference: what the published code computes, where no node sees another; propagate: neighbours are mixed."""
    legacy_boxes: bool = False
    """Boxes shrink at every access and belong to other images in evaluation, as in the published code."""


@dataclass
class Options(NetworkOptions, ObjectiveOptions, TrainingOptions, DataOptions):
    """Defaults are those of the published LSEH variant."""

    learning_rate: float = 0.0006
    """Initial learning rate."""
    lr_update: int = 4
    """Epochs between divisions of the learning rate by ten."""
    val_step: int = 2000
    """Steps between validations, besides the one that ends each epoch."""
    log_step: int = 20
    """Steps between log lines."""


def build(options: NetworkOptions, image_shape: tuple[int, ...], vocab_size: int) -> GSMN:
    """The network that the options describe, for images of this shape.

    Raises:
        InputError: options that contradict each other.
    """
    return GSMN(
        vocab_size,
        image_shape[-1],
        options.word_dim,
        options.embed_size,
        options.num_layers,
        options.bi_gru,
        options.no_imgnorm,
        options.no_txtnorm,
        options.lambda_softmax,
        options.num_block,
        options.hid_dim,
        options.out_dim,
        options.is_sparse,
        options.graph,
    )


def check_options(options: NetworkOptions) -> None:
    """Refuse options that would do nothing.

    Raises:
        InputError: --feat_dim differs from --num_block.
    """
    if options.feat_dim not in (None, options.num_block):
        raise InputError(f"--feat_dim {options.feat_dim}: is --num_block, which is {options.num_block}; leave it out")


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    check_options(options)
    options = resolve(options, loss.DEMO if on_demo(options) else loss.DEFAULTS)
    objective = build_objective(options)
    say(f"objective: {objective}")
    check_combination(options, GSMN.pairwise, GSMN.bounded_scores)
    training_run = start_run(options)
    training = data.training_data(options, objective.needs_descriptions)
    network = build(options, training.pairs.split.images.shape, len(training.vocabulary))
    train(NAME, training_run, network, objective, training, options)


if __name__ == "__main__":
    run(main, Options, demo=DEMO)
