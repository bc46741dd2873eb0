"""Order of the axes of stored features, decided over all images of a source, never by one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vse.console import say
from vse.data.sources.entry import Axes, Entry
from vse.errors import InputError

FEWEST_DIMENSIONS, MOST_REGIONS = 256, 128
"""[36, 2048] can only be regions first, [2048, 36] only dimensions first; [577, 768] and [32, 49] can be either."""


def turned(shape: tuple[int, ...]) -> bool:
    """Whether features [R, D] of an image are rather [D, R]."""
    first, second = shape
    return first > second and first >= FEWEST_DIMENSIONS and second <= MOST_REGIONS


@dataclass(frozen=True)
class Layout:
    """Storage of the features of each image of a source."""

    axes: str  # "d", "rd", "dr", "hwd" or "dhw"
    dropped: tuple[int, ...]
    """Axes of length 1 that every image has."""

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """(R, D) or (D,) of features that are stored in this shape."""
        left = [length for axis, length in enumerate(stored) if axis not in self.dropped]
        if len(left) != len(self.axes):
            return tuple(left)
        of = dict(zip(self.axes, left, strict=True))
        if self.axes == "d":
            return (of["d"],)
        return (of["r"] if "r" in of else of["h"] * of["w"], of["d"])

    def arrange(self, features: np.ndarray) -> np.ndarray:
        """Arrange stored features as [R, D] or [D]."""
        shape = self.shape(features.shape)
        left = features.squeeze(self.dropped)
        if self.axes in ("dr", "dhw"):
            left = np.moveaxis(left, 0, -1)
        return left.reshape(shape)


def find_layout(entries: list[Entry], axes: Axes, where: str) -> Layout:
    """Decide which axes the features of all images have, and say so where it is not the usual [R, D] or [D].

    What decides is, in this order: `axes`, boxes and numbers of boxes, and an axis whose length differs from image to
    image; where none does, lengths that only regions or only dimensions can have.

    Raises:
        InputError: the images do not agree, or both readings are possible.
    """
    ranks = {len(entry.shape): entry for entry in entries}
    if len(ranks) > 1:
        one, other = list(ranks.values())[:2]
        raise InputError(f"{other.where}: features {list(other.shape)} beside {list(one.shape)} ({one.where})")
    shapes = np.array([entry.shape for entry in entries])
    dropped: tuple[int, ...] = ()
    if shapes.shape[1] > 2:
        dropped = tuple(np.flatnonzero((shapes == 1).all(axis=0)).tolist())
        shapes = np.delete(shapes, dropped, axis=1)
    rank = shapes.shape[1]
    first = shapes[0].tolist()
    if rank < 1 or rank > 3:
        raise InputError(f"{where}: features {list(entries[0].shape)} an image; expected [regions, dimensions]")
    if rank == 1:
        return Layout("d", dropped)
    possible = ("rd", "dr") if rank == 2 else ("hwd", "dhw")
    if axes != "auto":
        if axes not in possible:
            raise InputError(
                f"{where}: features {first} an image contradict --axes {axes}; expected {' or '.join(possible)}"
            )
        return Layout(axes, dropped)
    found = _by_boxes(entries, shapes) if rank == 2 else None
    if found is None and len(np.unique(shapes, axis=0)) > 1:
        found = _by_variation(shapes, possible)
    elif found is None:
        found = _by_length(shapes, rank)
    if found is None:
        raise InputError(
            f"{where}: features {first} an image may be {' or '.join(map(_spelt, possible))}; say which with --axes "
            f"{' or --axes '.join(possible)}"
        )
    if found != "rd" or dropped:
        say(f"{where}: features {list(entries[0].shape)} an image are read as {_spelt(found)} (--axes says otherwise)")
    return Layout(found, dropped)


def _spelt(axes: str) -> str:
    names = {"r": "regions", "d": "dimensions", "h": "rows", "w": "columns"}
    return f"[{', '.join(names[letter] for letter in axes)}]"


def _by_boxes(entries: list[Entry], shapes: np.ndarray) -> str | None:
    """Find the axis as long as there are boxes, or the only one that has room for them (some files are padded)."""
    room, exact = [True, True], [True, True]
    for entry, shape in zip(entries, shapes.tolist(), strict=True):
        numbers = {entry.regions} - {None}
        if entry.boxes is not None:
            shape_of_boxes = list(entry.boxes.shape)
            if len(shape_of_boxes) != 2 or 4 not in shape_of_boxes:
                raise InputError(f"{entry.where}: boxes {shape_of_boxes}; expected four numbers for each region")
            numbers = {number for number, four in (shape_of_boxes, shape_of_boxes[::-1]) if four == 4}
        if not numbers:
            return None
        for axis, length in enumerate(shape):
            exact[axis] &= length in numbers
            room[axis] &= length in numbers or (entry.regions in numbers and (entry.regions or 0) <= length)
        if not any(room):
            boxes = entry.regions if entry.boxes is None else f"boxes {list(entry.boxes.shape)}"
            raise InputError(f"{entry.where}: {boxes} beside features {shape}; expected a box for each region")
    fitting = exact if exact.count(True) == 1 else room
    return ("rd", "dr")[fitting.index(True)] if fitting.count(True) == 1 else None


def _by_variation(shapes: np.ndarray, possible: tuple[str, str]) -> str | None:
    """Regions may differ from image to image, dimensions not; but few dimensions of many regions are doubtful."""
    varies = (shapes != shapes[0]).any(axis=0)
    fitting = [axes for axes in possible if not varies[axes.index("d")]]
    if len(fitting) != 1:
        return None
    dimensions = shapes[0, fitting[0].index("d")]
    doubtful = dimensions < FEWEST_DIMENSIONS and dimensions <= shapes[:, varies].min()
    return None if doubtful else fitting[0]


def _by_length(shapes: np.ndarray, rank: int) -> str | None:
    """Lengths that leave one reading."""
    lengths = shapes.max(axis=0)
    if rank == 2:
        if lengths[0] < FEWEST_DIMENSIONS <= lengths[1]:
            return "rd"
        return "dr" if turned(tuple(lengths.tolist())) else None
    if lengths[0] >= 2 * lengths[1:].max():
        return "dhw"
    return "hwd" if lengths[2] >= 2 * lengths[:2].max() else None


def arrange_boxes(entries: list[Entry], layout: Layout) -> list[Entry]:
    """Return the entries with boxes [R, 4] float32 for the regions in use, whether stored so or as [4, R].

    Raises:
        InputError: boxes that do not fit the regions, or for some images only.
    """
    if all(entry.boxes is None for entry in entries):
        return entries
    turned = [_turned(entry, layout) for entry in entries]
    known = {one for one in turned if one is not None} or {layout.axes == "dr"}
    if len(known) > 1:
        raise InputError(f"{entries[0].where}: boxes of some images are [regions, 4], of others [4, regions]")
    turn = known.pop()
    return [
        entry._replace(
            boxes=np.asarray(entry.boxes.T if turn else entry.boxes, np.float32)[: regions_of(entry, layout)]
        )
        for entry in entries
        if entry.boxes is not None
    ]


def regions_of(entry: Entry, layout: Layout) -> int:
    """Regions of an image that are in use; 1 for global features."""
    shape = layout.shape(entry.shape)
    stored = shape[0] if len(shape) == 2 else 1
    if entry.regions is not None and not 1 <= entry.regions <= stored:
        raise InputError(f"{entry.where}: {entry.regions} boxes for {stored} regions; expected as many or fewer")
    return stored if entry.regions is None else entry.regions


def _turned(entry: Entry, layout: Layout) -> bool | None:
    """Whether boxes are stored as [4, R]; None where R is 4."""
    if entry.boxes is None:
        raise InputError(f"{entry.where}: no boxes, but other images have them; expected them for all or for none")
    shape, used = tuple(entry.boxes.shape), regions_of(entry, layout)
    stored = layout.shape(entry.shape)[0] if len(layout.shape(entry.shape)) == 2 else 1
    if entry.boxes.dtype.kind not in "fiu" or shape not in {(n, 4) for n in (used, stored)} | {
        (4, n) for n in (used, stored)
    }:
        raise InputError(f"{entry.where}: boxes {list(shape)} {entry.boxes.dtype}; expected {[used, 4]} numbers")
    return None if shape == (4, 4) else shape[0] == 4
