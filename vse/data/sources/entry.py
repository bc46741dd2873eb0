"""Common interface of all feature files: entries are listed first, and features are read afterwards."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from vse.errors import InputError

FEATURE_KEYS = ("features", "image_features", "feats", "feat")

NPZ_FEATURE_KEYS = (*FEATURE_KEYS, "x", "arr_0")
"""Bottom-up attention's PyTorch ports write `x`; `numpy.savez(file, array)` writes `arr_0`."""

ID_KEYS = ("image_ids", "image_id", "ids", "img_ids", "img_id", "id", "image_names", "names")

BOX_KEYS = ("boxes", "bbox", "bboxes", "image_bb")

COUNT_KEYS = ("num_boxes", "num_bbox", "num_bboxes", "num_regions")

WIDTH_KEYS = ("image_w", "width", "widths", "img_w")

HEIGHT_KEYS = ("image_h", "height", "heights", "img_h")

LARGEST_VALUE = 1e6
"""No network gives features beyond it; numbers of another precision that are read as float32 go there."""

LARGEST_IMAGE = 2**25
"""Numbers for one image: 4,096 regions of 8,192 values; what is larger is damaged."""


Axes = Literal["auto", "rd", "dr", "hwd", "dhw"]
"""r regions, d dimensions, h and w rows and columns of a grid, whose cells are the regions."""


class Entry(NamedTuple):
    """One image of a source, without its features."""

    image: str
    shape: tuple[int, ...]
    """Of the features, as they are stored."""
    where: str
    """File and line, row or entry, for messages."""
    place: Any
    """How the source finds the features."""
    boxes: np.ndarray | None = None
    """As stored: [R, 4] or [4, R]."""
    size: tuple[float, float] | None = None
    """Width and height of the picture, pixels."""
    regions: int | None = None
    """Number of regions that the source states; stored regions beyond it are padding."""
    fault: str | None = None
    """What is wrong with an entry that was cut off; it has no features."""


class Source(Protocol):
    """A feature file, or a folder of them."""

    path: Path

    @property
    def axes(self) -> Axes:
        """Order of the axes of an image's features, where the form fixes it."""

    def entries(self) -> list[Entry]:
        """List all images; reads ids, shapes, boxes and sizes."""

    def features(self, entry: Entry) -> np.ndarray:
        """Read the features of one image, of `entry.shape`."""

    def close(self) -> None:
        """Close the file."""


def pick(present: Container[str], names: tuple[str, ...], where: str, remedy: str) -> str | None:
    """Return the one of `names` that is present, or None.

    Raises:
        InputError: several are; `remedy` ends the sentence.
    """
    found = [name for name in names if name in present]
    if len(found) > 1:
        raise InputError(f"{where}: holds {' and '.join(found)}; {remedy}")
    return found[0] if found else None


def check_shape(shape: tuple[int, ...], where: str) -> None:
    """Refuse shapes that no features of an image have, before anything of that size is read.

    Raises:
        InputError: a scalar, nothing, or too large.
    """
    if not shape or 0 in shape or math.prod(shape) > LARGEST_IMAGE:
        raise InputError(f"{where}: features of shape {list(shape)}; expected [regions, dimensions] or [dimensions]")


Found = tuple[str, Any] | None
"""Name and data of what goes with an image's features; None: it is not there."""

Find = Callable[[tuple[str, ...]], Found]
"""Usual names of such a thing (boxes, width, ...) -> the one that is there, and its data."""


def make_entry(image: str, shape: tuple[int, ...], where: str, place: Any, find: Find) -> Entry:
    """Make an entry of the boxes, size and number of regions that are found beside its features.

    Raises:
        InputError: they are no numbers.
    """

    def number(names: tuple[str, ...]) -> float | None:
        found = find(names)
        if found is None:
            return None
        name, array = found[0], np.asarray(found[1])
        if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise InputError(f"{where}: {name} is {array.dtype} {list(array.shape)}; expected a finite number")
        return float(array.ravel()[0])

    width, height, count = number(WIDTH_KEYS), number(HEIGHT_KEYS), number(COUNT_KEYS)
    boxes = (find(BOX_KEYS) or ("", None))[1]
    size = None if width is None or height is None else (width, height)
    return Entry(image, shape, where, place, boxes, size, None if count is None else int(count))


def natural(text: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which `img_2` comes before `img_10`, and `img_01` before `img_1`."""
    parts = re.split(r"([0-9]+)", text)
    parts[1::2] = [part.lstrip("0") for part in parts[1::2]]  # Python reads no number of more than 4,300 digits
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)], text
