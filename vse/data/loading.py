"""Open a data set as a network reads it: for training, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vse.console import say
from vse.data.batches import Captions, EvaluationData, PairDataset
from vse.data.datasets import DEV_IMAGES, Split, open_split
from vse.data.features import Features
from vse.data.index_writer import warn_of_shared_images
from vse.data.noise import corrupt
from vse.data.preparing import prepare_data_set
from vse.data.vocabularies import locate_vocabulary, prepare_vocabulary
from vse.descriptions.kinds import prepare_descriptions
from vse.distributed import first_process_first, rank_and_size
from vse.errors import InputError
from vse.options import DataOptions
from vse.text.captions import read_captions
from vse.text.token_ids import MAX_WORDS
from vse.text.vocabulary import Vocabulary
from vse.text.words import Words

OpenSplit = Callable[..., Split]
"""(folder, split, img_dim=None, first_images=None) -> Split."""


class Text(Protocol):
    """A map from captions to ids: the words of a vocabulary, or word pieces."""

    def __len__(self) -> int:
        """Return the number of ids."""

    def captions(self, captions: Sequence[str], source: Path, max_words: int = MAX_WORDS) -> Captions:
        """Encode captions that were read from `source`, and print the share of unknown words among them."""

    def to_state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""


def locate_words(data: DataOptions, folder: Path, tokeniser: str = "punkt") -> Words:
    """Find the vocabulary of a data set."""
    return Words(locate_vocabulary(data.vocab_path, data.data_name, folder, tokeniser))


def prepare_words(data: DataOptions, folder: Path, tokeniser: str = "punkt") -> Words:
    """Find the vocabulary of a data set, or build it from its train and dev captions."""
    return Words(*prepare_vocabulary(data.vocab_path, data.data_name, folder, tokeniser=tokeniser))


def words_of_state(state: Mapping[str, Any]) -> Words:
    """Return the words that a checkpoint carries."""
    return Words(Vocabulary.from_state(state))


def unchanged(data: Any, text: Text) -> Any:
    """Return the data as it is: the default of `Reader.complete`."""
    return data


@dataclass(frozen=True)
class Reader:
    """How a network reads a data set; every network's `data.py` makes one from the network's options."""

    open_split: OpenSplit = open_split
    """Opens a split with the images that the network reads."""
    locate_text: Callable[[DataOptions, Path], Text] = locate_words
    """(options, data set folder) -> the text that a checkpoint without text is evaluated with; writes nothing."""
    prepare_text: Callable[[DataOptions, Path], Text] = prepare_words
    """(options, data set folder) -> the text that a network is trained with, built where there is none."""
    text_of_state: Callable[[Mapping[str, Any]], Text] = words_of_state
    """The text that a checkpoint carries."""
    complete: Callable[[Any, Text], Any] = unchanged
    """(PairDataset or EvaluationData, text) -> the same with what else a batch of the network holds (GSMN: boxes)."""
    augment: bool = False
    """Captions are augmented in training, and so are features; pictures always are."""


@dataclass
class TrainingData:
    """Training pairs, dev split, and the text that reads both."""

    pairs: PairDataset
    dev: EvaluationData
    text: Text

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: (R, D) regions, (D,) global features, (3, S, S) pixels."""
        return self.pairs.split.images.shape


def open_training_data(data: DataOptions, reader: Reader, seed: int, needs_descriptions: bool) -> TrainingData:
    """Open train and dev split of the data set that the options name.

    What is missing or out of date is made: the index of a raw data set, vocabulary, token ids, description vectors.

    Raises:
        InputError: something is missing, damaged or does not belong together.
    """
    if not needs_descriptions and (data.descriptions != "svd" or data.sentence_encoder is not None):
        raise InputError(
            "--descriptions and --sentence_encoder do nothing for this --loss, which reads no descriptions"
        )
    with first_process_first():
        folder = prepare_data_set(data.data_path, data.data_name)
        train, dev = open_train_and_dev(folder, reader.open_split, data.img_dim)
        if len(train.images) < 2:
            raise InputError(
                f"{folder}: one image to train on has no wrong answers to learn from; expected at least two"
            )
        _check_batch_size(data.batch_size, len(train.captions))
        noise = corrupt(train, data)
        if noise is not None:
            say(str(noise))
        text = reader.prepare_text(data, folder)
        captions, dev_captions = (
            text.captions(split.captions, split.captions_file, data.max_words) for split in (train, dev)
        )
        descriptions = descriptions_of(train, data) if needs_descriptions else None
    augment = reader.augment or not isinstance(train.images, Features)
    pairs = PairDataset(train, captions, descriptions, seed, augment, noise)
    dev_data = EvaluationData(dev, dev_captions, data.batch_size)
    return TrainingData(reader.complete(pairs, text), reader.complete(dev_data, text), text)


def _check_batch_size(batch_size: int, captions: int) -> None:
    processes = rank_and_size()[1]
    if batch_size * processes > captions:
        raise InputError(
            f"--batch_size {batch_size}: {processes * batch_size} pairs a step are more than the {captions} training "
            "captions; choose a smaller batch"
        )


def open_train_and_dev(folder: Path, open_named_split: OpenSplit, img_dim: int | None = None) -> tuple[Split, Split]:
    """Open the split to train on, and the images of dev to validate on.

    Raises:
        InputError: as `open_named_split`; or their images have different shapes.
    """
    train = open_named_split(folder, "train", img_dim)
    dev = open_named_split(folder, "dev", img_dim, DEV_IMAGES)
    if train.images.shape != dev.images.shape:
        raise InputError(
            f"{folder}: an image of dev has shape {list(dev.images.shape)}, one of train {list(train.images.shape)}; "
            "make the features of all splits in one way"
        )
    warn_of_shared_images(folder)
    return train, dev


def descriptions_of(split: Split, data: DataOptions) -> np.ndarray:
    """Find or make the description vectors of a split's captions, float32 [M, K]."""
    file = split.captions_file
    lines = len(split.captions) if split.lines is None else len(read_captions(file))
    vectors = prepare_descriptions(data.descriptions, file.parent, file, lines, data.sentence_encoder)
    return vectors if split.lines is None else vectors[split.lines]


def open_evaluation_data(
    split: Split, reader: Reader, text: Text, batch_size: int, max_words: int = MAX_WORDS
) -> EvaluationData:
    """Read an open split as the network reads it."""
    captions = text.captions(split.captions, split.captions_file, max_words)
    data: EvaluationData = reader.complete(EvaluationData(split, captions, batch_size), text)
    return data


def regions_of(network: str, uniform: bool = False) -> OpenSplit:
    """Return an `open_split` that refuses images that `check_regions` refuses."""

    def open_regions(folder: Path, name: str, img_dim: int | None = None, first_images: int | None = None) -> Split:
        split = open_split(folder, name, img_dim, first_images)
        check_regions(split, network, uniform)
        return split

    return open_regions


def check_regions(split: Split, network: str, uniform: bool = False) -> None:
    """Refuse images without regions and, if they must be `uniform`, images that differ in their number.

    Raises:
        InputError: such images; the message names `network`.
    """
    shape = split.images.shape
    if not isinstance(split.images, Features) or len(shape) != 2:
        raise InputError(
            f"{split.captions_file.parent}: an image of the {split.name} split has shape {list(shape)}; "
            f"{network} needs features of regions, [regions, dimensions] an image: extract region or grid features"
        )
    if uniform and split.images.lengths is not None:
        fewest, most = split.images.lengths.min(), split.images.lengths.max()
        raise InputError(
            f"{split.images.path}: images have {fewest} to {most} regions; {network} needs the same number in every "
            "image: cut them with python -m vse convert --regions N, N being the smallest number, or train another "
            "network"
        )
