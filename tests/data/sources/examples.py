"""Features and boxes by number of the image, and files that hold them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vse.data.sources.collection import Collection, collect
from vse.data.sources.entry import Axes, Source

IDS = (17, 4, 90, 23, 5)
"""Image ids in the order of the feature files; captions list the images in another order."""


def features(image: int, regions: int = 3, size: int = 4, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(image).normal(size=(regions, size)).astype(dtype)


def boxes(image: int, regions: int = 3) -> np.ndarray:
    corners = np.random.default_rng(image).uniform(0, 100, (regions, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def line(image: object, values: np.ndarray, some_boxes: np.ndarray | None = None) -> str:
    """A line of bottom-up attention's TSV, of a picture of 640 x 480 pixels."""
    some_boxes = boxes(1, len(values)) if some_boxes is None else some_boxes
    encoded = (base64.b64encode(array.tobytes()).decode() for array in (some_boxes, values))
    return "\t".join([str(image), "640", "480", str(len(values)), *encoded]) + "\n"


def write_tsv(path: Path, ids: Sequence[int] = IDS) -> Path:
    path.write_text("".join(line(image, features(image), boxes(image)) for image in ids))
    return path


def collected(*sources: Source, axes: Axes = "auto", regions: int | None = None, trust: bool = False) -> Collection:
    return collect(sources, axes, regions, trust)


def check(images: Collection, ids: Sequence[int] = IDS, with_boxes: bool = True) -> None:
    """The collection holds the features, and boxes, of these images in this order."""
    assert [entry.image for entry in images.entries] == [str(image) for image in ids]
    for place, image in enumerate(ids):
        np.testing.assert_array_equal(images.read(place), features(image))
        if with_boxes:
            np.testing.assert_array_equal(images.boxes(place), boxes(image))
            assert images.entries[place].size == (640, 480)
