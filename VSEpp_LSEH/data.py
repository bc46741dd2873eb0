"""What a batch of VSE++ holds: an image's features, or its pixels, and the word ids of one of its captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vse.data.datasets import Split
from vse.data.images import CropTransform, features_or_pictures
from vse.data.loading import TrainingData, open_training_data
from vse.options import DataOptions
from vse.text.vocabulary import Vocabulary


@dataclass
class PictureOptions:
    """How pictures are read, where a data set holds pictures and no features."""

    crop_size: int = 224
    """Side of the training crop; evaluation always crops 224."""
    use_restval: bool = False
    """Train on MS-COCO's restval images too."""
    skip_broken: bool = False
    """Leave out pictures that cannot be decoded, and say how many."""


def split_opener(options: PictureOptions) -> Callable[..., Split]:
    """How a data set's splits are opened: as precomputed features where there are any, else as pictures."""
    return features_or_pictures(CropTransform(options.crop_size), options.use_restval, options.skip_broken)


def training_data(options: DataOptions, pictures: PictureOptions, needs_descriptions: bool) -> TrainingData[Vocabulary]:
    """Train and dev split, vocabulary, and description vectors if the objective reads them."""
    return open_training_data(options, needs_descriptions, split_opener(pictures))
