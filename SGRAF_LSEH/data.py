"""What a batch of SGRAF holds: the regions of an image and the word ids of one of its captions."""

from __future__ import annotations

from vse.batches import TrainingData, open_training_data
from vse.options import DataOptions
from vse.regions import check_regions
from vse.vocabulary import Vocabulary


def training_data(options: DataOptions, needs_descriptions: bool) -> TrainingData[Vocabulary]:
    """Train and dev split, vocabulary, and description vectors if the objective reads them.

    Raises:
        InputError: the images have no regions, or what `open_training_data` finds wrong.
    """
    training = open_training_data(options, needs_descriptions)
    check_regions(training.pairs.split, "SGRAF")
    return training
