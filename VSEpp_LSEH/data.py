"""What a batch of VSE++ holds: an image's features (or its pixels) and the word ids of one of its captions."""

from __future__ import annotations

from vse.batches import TrainingData, open_training_data
from vse.options import DataOptions


def training_data(options: DataOptions, needs_descriptions: bool) -> TrainingData:
    """Train and dev split, vocabulary, and description vectors if the objective reads them."""
    return open_training_data(options, needs_descriptions)
