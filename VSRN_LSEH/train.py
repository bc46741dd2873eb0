"""Train VSRN with the LSEH objective or one of its rivals.

    python train.py                                            the embedded demo data set, about three CPU minutes
    python train.py --data_path $DATA_PATH --data_name f30k_precomp --logger_name runs/flickr_VSRN --max_violation --learning_rate 0.0004 --lr_update 5 --max_len 60
    python train.py ... --loss lmh                             max of hinges, VSRN's own objective
    python train.py ... --no_captioning                        the retrieval part alone
    python train.py ... --resume auto                          go on after an interruption, to the same weights

Expect both losses to fall within the first epoch and recall on dev to rise from chance (rsum 16 on the demo data, to
about 285); evaluate with evaluation.py.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from vse.cli import run
from vse.console import say
from vse.data.datasets import canonical_name
from vse.errors import InputError
from vse.losses import build_objective, check_combination, resolve
from vse.options import DataOptions, EmbeddingOptions, TrainingOptions
from vse.training.loop import recall_sum, train
from vse.training.runs import start_run
from VSRN_LSEH import data, loss
from VSRN_LSEH.model import VSRN

NAME = "VSRN"
TAGS = {"loss": "Le", "retrieval": "Le_retrieval", "captioning": "Le_caption", "rsum": "Sum of Recall"}
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
class NetworkOptions(EmbeddingOptions):
    """The network's own options."""

    embed_size: int = 2048
    """Size of the joint embedding space, and of the regions while they are reasoned over."""
    final_batchnorm: Literal["published", "always", "never"] = "published"
    """BatchNorm after the GRU over regions, and none of the projected regions normalised: published is with f30k and
    iaprtc12 as --data_name only."""
    region_norm_axis: Literal["regions", "features"] = "regions"
    """Normalise each feature over an image's regions (published) or each region over its features (repair)."""
    no_captioning: bool = False
    """Train retrieval alone, without the caption-generation branch."""
    dim_hidden: int = 512
    """Caption generation: size of its GRUs."""
    dim_word: int = 300
    """Caption generation: size of its word vectors."""
    input_dropout_p: float = 0.2
    """Caption generation: dropout on the projected regions and on each step's input."""
    bidirectional: Literal[0, 1] = 0
    """Caption generation: 1 reads the regions in both directions."""
    max_len: int = 60
    """Caption generation: longest caption in tokens; a longer one is cut."""
    captioner_updates: Literal[1, 2] = 2
    """Updates a step of the caption-generation branch: 2 by its double listing as published, 1 as intended (repair)."""
    dim_vid: int | None = None
    """Caption generation: size of what it reads; only checked, it is --embed_size."""
    rnn_type: Literal["gru"] = "gru"
    """Caption generation: published name of the only choice."""
    rnn_dropout_p: float = 0.5
    """Without effect, as published: dropout between the layers of GRUs that have one."""


@dataclass
class Options(NetworkOptions, loss.LossOptions, TrainingOptions, DataOptions):
    """Defaults are those of the published LSEH variant."""

    learning_rate: float = 0.0004
    """Initial learning rate."""
    lr_update: int = 6
    """Epochs between divisions of the learning rate by ten."""
    selection: Literal["r1_r5", "rsum"] = "r1_r5"
    """The best model has the highest R@1 + R@5 of both directions on dev (published), or R@10 as well (repair)."""


def first_recalls(metrics: Mapping[str, float]) -> float:
    """Selection score as published: R@1 + R@5 of both directions on dev."""
    return metrics["r1"] + metrics["r5"] + metrics["r1i"] + metrics["r5i"]


SELECTIONS: dict[str, Callable[[Mapping[str, float]], float]] = {"r1_r5": first_recalls, "rsum": recall_sum}


def build(options: Options, image_shape: tuple[int, ...], vocab_size: int) -> VSRN:
    """The network that the options describe, for images of this shape (regions, features)."""
    published = canonical_name(options.data_name or "") in ("f30k", "iaprtc12")
    return VSRN(
        vocab_size,
        image_shape[-1],
        options.embed_size,
        options.word_dim,
        options.num_layers,
        use_abs=options.use_abs,
        no_imgnorm=options.no_imgnorm,
        measure=options.measure,
        final_batchnorm={"published": published, "always": True, "never": False}[options.final_batchnorm],
        region_norm_axis=options.region_norm_axis,
        captioning=not options.no_captioning,
        dim_hidden=options.dim_hidden,
        dim_word=options.dim_word,
        input_dropout_p=options.input_dropout_p,
        bidirectional=bool(options.bidirectional),
        max_len=options.max_len,
        captioner_updates=options.captioner_updates,
    )


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    if options.dim_vid not in (None, options.embed_size):
        raise InputError(
            f"--dim_vid {options.dim_vid}: captions are generated from regions of --embed_size {options.embed_size}; "
            "leave --dim_vid out"
        )
    options = resolve(loss.renamed(options), loss.DEFAULTS)
    objective = build_objective(options)
    say(f"objective: {objective}")
    training_run = start_run(options)
    training = data.training_data(options, objective.needs_descriptions)
    network = build(options, training.pairs.split.images.shape, len(training.vocabulary))
    check_combination(options, network.pairwise, network.bounded_scores)
    train(
        NAME,
        training_run,
        network,
        objective,
        training,
        options,
        select=SELECTIONS[options.selection],
        selected_by={"r1_r5": "R@1+R@5", "rsum": "rsum"}[options.selection],
        tags=TAGS,
    )


if __name__ == "__main__":
    run(main, Options, demo=DEMO)
