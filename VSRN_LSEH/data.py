"""What a batch of VSRN holds: the regions of an image and the word ids of one of its captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vse.batches import TrainingData, open_training_data
from vse.datasets import ALIASES, Split, canonical_name
from vse.errors import InputError
from vse.options import DataOptions
from vse.vocabulary import Vocabulary


def training_data(options: DataOptions, needs_descriptions: bool) -> TrainingData[Vocabulary]:
    """Train and dev split, vocabulary, and description vectors if the objective reads them.

    Raises:
        InputError: the images have no regions, or what `open_training_data` finds wrong.
    """
    options = replace(options, vocab_path=vocabulary_path(options.vocab_path, options.data_name))
    training = open_training_data(options, needs_descriptions)
    check_regions(training.pairs.split)
    return training


def vocabulary_path(vocab_path: str | None, data_name: str | None) -> str | None:
    """`--vocab_path`; for IAPR TC-12 the file of Flickr30K's vocabulary where that folder holds no other.

    The published code has no vocabulary of IAPR TC-12 and reads its captions with Flickr30K's.
    """
    if vocab_path is not None and canonical_name(data_name or "") == "iaprtc12":
        folder = Path(vocab_path)
        own = [file for name in ALIASES["iaprtc12"] for file in folder.glob(f"{name}*_vocab.*")]
        borrowed = [folder / f"f30k_precomp_vocab{suffix}" for suffix in (".json", ".pkl")]
        return next((str(file) for file in borrowed if file.is_file() and not own), vocab_path)
    return vocab_path


def check_regions(split: Split) -> None:
    """Refuse images without regions.

    Raises:
        InputError: one vector an image, or pictures.
    """
    shape = split.images.shape
    if len(shape) != 2:
        raise InputError(
            f"{split.captions_file.parent}: an image of the {split.name} split has shape {list(shape)}; VSRN reasons "
            "over regions, [regions, features] an image: extract region or grid features"
        )
