"""What a batch of VSE++ holds: an image's features (or its pixels) and the word ids of one of its captions."""

from __future__ import annotations

from vse.batches import EvaluationData, TrainingData, open_evaluation_data, open_training_data
from vse.options import DataOptions, EvaluationOptions


def training_data(options: DataOptions, needs_descriptions: bool) -> TrainingData:
    """Train and dev split, vocabulary, and description vectors if the objective reads them."""
    return open_training_data(options, needs_descriptions)


def evaluation_data(options: EvaluationOptions, vocabulary: dict) -> EvaluationData:
    """The split to evaluate on, in the words of the checkpoint's vocabulary."""
    return open_evaluation_data(options, vocabulary)
