"""What a batch of SGRAF holds: the regions of an image and the word ids of one of its captions."""

from __future__ import annotations

from dataclasses import replace

from vse.batches import TrainingData, open_training_data
from vse.datasets import Split
from vse.errors import InputError
from vse.options import DataOptions
from vse.vocabulary import Vocabulary
from VSRN_LSEH.data import vocabulary_path


def training_data(options: DataOptions, needs_descriptions: bool) -> TrainingData[Vocabulary]:
    """Train and dev split, vocabulary, and description vectors if the objective reads them.

    Raises:
        InputError: the images have no regions, or what `open_training_data` finds wrong.
    """
    # As in VSRN, the published code reads IAPR TC-12 with Flickr30K's vocabulary.
    options = replace(options, vocab_path=vocabulary_path(options.vocab_path, options.data_name))
    training = open_training_data(options, needs_descriptions)
    check_regions(training.pairs.split)
    return training


def check_regions(split: Split) -> None:
    """Refuse images without regions.

    Raises:
        InputError: one vector an image, or pictures.
    """
    shape = split.images.shape
    if len(shape) != 2:
        raise InputError(
            f"{split.captions_file.parent}: an image of the {split.name} split has shape {list(shape)}; SGRAF attends "
            "to regions, [regions, features] an image: extract region or grid features"
        )
