"""What a batch of VSE++ holds: an image's features, or its pixels, and the word ids of one of its captions."""

from __future__ import annotations

from vse.data.images import CropTransform, features_or_pictures
from vse.data.loading import Reader


def reader(crop_size: int, use_restval: bool, skip_broken: bool) -> Reader:
    """Read precomputed features if a data set has any, else pictures.

    Args:
        crop_size: side of the training crop of a picture.
        use_restval: add MS-COCO's restval images to train.
        skip_broken: leave out pictures that cannot be decoded.
    """
    return Reader(features_or_pictures(CropTransform(crop_size), use_restval, skip_broken))
