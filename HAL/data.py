"""What a batch of HAL holds: as VSE++'s, the captions by choice tokenised as for the published checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vse.data.loading import TrainingData, open_training_data
from vse.options import DataOptions
from vse.text.vocabulary import Vocabulary
from VSEpp_LSEH.data import PictureOptions, split_opener

__all__ = ["HALDataOptions", "PictureOptions", "Tokeniser", "split_opener", "training_data"]

Tokeniser = Literal["punkt", "ascii-lower", "bytes-repr"]


@dataclass
class HALDataOptions(PictureOptions, DataOptions):
    """Which data, and how captions become words."""

    tokeniser: Tokeniser = "punkt"
    """bytes-repr reads captions as the published code does, with a slip (see README.md); ascii-lower as VSE++'s."""


def training_data(options: HALDataOptions, needs_descriptions: bool) -> TrainingData[Vocabulary]:
    """Train and dev split, vocabulary, and description vectors if the objective reads them."""
    return open_training_data(options, needs_descriptions, split_opener(options), options.tokeniser)
