"""Batches: what a network sees of a data set, in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from vse.data.batches import EvaluationData, PairDataset
from vse.data.datasets import DEV_IMAGES, Split, find_data_set, find_vocabulary, open_split
from vse.data.features import Features
from vse.descriptions.prepare import find_or_make
from vse.distributed import first_process_first
from vse.errors import InputError
from vse.options import DataOptions
from vse.text.captions import token_ids
from vse.text.vocabulary import Vocabulary


class Text(Protocol):
    """What turns captions into ids: a `Vocabulary`, or word pieces."""

    def to_state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""


TextType = TypeVar("TextType", bound=Text)


@dataclass
class TrainingData(Generic[TextType]):
    """What a network trains on: pairs, the dev split, and the vocabulary (or word pieces) that both are read with."""

    pairs: PairDataset
    dev: EvaluationData
    vocabulary: TextType


def open_training_data(
    options: Any,
    needs_descriptions: bool,
    open_named_split: Callable[..., Split] = open_split,
    tokeniser: str = "punkt",
) -> TrainingData[Vocabulary]:
    """Open the data set that `DataOptions` and `TrainingOptions` name, for networks that read words.

    Description vectors that are missing are made; a vocabulary that is missing is built from train and dev captions.

    Args:
        open_named_split: (folder, split, img_dim, first_images) -> Split, where images are not precomputed features.
        tokeniser: what captions are read with, see `vse.text.tokens.TOKENISERS`.

    Raises:
        InputError: something is missing, damaged or does not belong together.
    """
    with first_process_first():
        folder = find_data_set(options.data_path, options.data_name)
        split = open_named_split(folder, "train", options.img_dim)
        dev = open_named_split(folder, "dev", options.img_dim, DEV_IMAGES)
        vocabulary, location = find_vocabulary(options.vocab_path, options.data_name, folder, tokeniser=tokeniser)
        descriptions = None
        if needs_descriptions:
            descriptions = find_or_make(folder, split.captions_file, len(split.captions))
    pairs = PairDataset(
        split,
        token_ids(split.captions_file, vocabulary, location),
        descriptions,
        options.seed,
        augment=not isinstance(split.images, Features),
    )
    dev_data = EvaluationData(dev, token_ids(dev.captions_file, vocabulary, location), options.batch_size)
    return TrainingData(pairs, dev_data, vocabulary)


def check_regions(split: Split, network: str) -> None:
    """Refuse images without regions.

    Raises:
        InputError: one vector an image, or pictures; the message names `network`.
    """
    shape = split.images.shape
    if not isinstance(split.images, Features) or len(shape) != 2:
        raise InputError(
            f"{split.captions_file.parent}: an image of the {split.name} split has shape {list(shape)}; "
            f"{network} needs features of regions, [regions, dimensions] an image: extract region or grid features"
        )


def region_training_data(options: DataOptions, needs_descriptions: bool, network: str) -> TrainingData[Vocabulary]:
    """Train and dev split of a network that reads regions and words, its vocabulary, and description vectors if asked.

    Raises:
        InputError: the images have no regions, or what `open_training_data` finds wrong.
    """
    training = open_training_data(options, needs_descriptions)
    check_regions(training.pairs.split, network)
    return training
