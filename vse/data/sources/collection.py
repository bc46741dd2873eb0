"""The images of one or several sources together: checked against each other before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vse.console import say, warn
from vse.data.pictures import first_of
from vse.data.sources.boxes import disordered, outside, relative
from vse.data.sources.entry import Axes, Entry, Source
from vse.data.sources.layout import Layout, arrange_boxes, find_layout, regions_of
from vse.errors import InputError


@dataclass
class Collection:
    """All images of some sources, in their order; boxes are [R, 4] float32 pixels or, without sizes, as they come."""

    entries: list[Entry]
    readers: list[tuple[Source, Layout]]
    """Of each entry: its source, and how that stores features."""
    shape: tuple[int, ...]
    """Of an image's features as they are read: (R, D) or (D,)."""
    lengths: np.ndarray
    """[images] int64: regions in use of each image, at most R; 1 for global features."""
    faulty: list[str] = field(default_factory=list)
    """Images of lines that were cut off and came again whole."""

    @property
    def padded(self) -> bool:
        """Images differ in their number of regions."""
        return len(self.shape) == 2 and bool((self.lengths < self.shape[0]).any())

    def read(self, place: int) -> np.ndarray:
        """Read the features of an image, [R, D] or [D], zero after its last region."""
        (source, layout), entry = self.readers[place], self.entries[place]
        features = layout.arrange(source.features(entry))
        return features if len(self.shape) == 1 else pad(features[: self.lengths[place]], self.shape[0])

    def boxes(self, place: int) -> np.ndarray | None:
        """Boxes [R, 4] of an image, zero after its last region."""
        boxes = self.entries[place].boxes
        return None if boxes is None else pad(boxes, self.shape[0] if len(self.shape) == 2 else 1)


def pad(array: np.ndarray, rows: int) -> np.ndarray:
    """Zeros after the last row, up to `rows` rows."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])


def collect(sources: Sequence[Source], axes: Axes, regions: int | None, trust: bool) -> Collection:
    """List the images of all sources and check everything but the values of their features.

    Args:
        axes: order of an image's axes, or "auto", see `find_layout`.
        regions: keep at most so many regions of each image, the first ones.
        trust: boxes outside their pictures are kept.

    Raises:
        InputError: nothing in the sources, or images that do not fit each other.
    """
    parts = [source.entries() for source in sources]
    faulty = _drop_cut_lines(parts)
    entries: list[Entry] = []
    readers: list[tuple[Source, Layout]] = []
    for source, part in zip(sources, parts, strict=True):
        if part:
            layout = find_layout(part, axes if source.axes == "auto" else source.axes, str(source.path))
            entries += arrange_boxes(part, layout)
            readers += [(source, layout)] * len(part)
    if not entries:
        raise InputError(f"{sources[0].path}: holds no features; expected one row per image")
    shape, lengths = _common_shape(entries, [layout for _, layout in readers], regions)
    entries = _checked_sizes(entries)
    if any(entry.boxes is not None for entry in entries):
        entries = _checked_boxes(entries, lengths, trust)
    return Collection(entries, readers, shape, lengths, faulty)


def _drop_cut_lines(parts: list[list[Entry]]) -> list[str]:
    """Remove the entries that were cut off where their image comes again whole: an extraction that was interrupted."""
    whole = {entry.image for part in parts for entry in part if entry.fault is None}
    dropped = []
    for part in parts:
        for entry in [entry for entry in part if entry.fault is not None]:
            if entry.image not in whole:
                raise InputError(f"{entry.fault}; use another copy of the file, or extract image {entry.image!r} again")
            dropped.append(entry)
        part[:] = [entry for entry in part if entry.fault is None]
    if dropped:
        say(
            f"{len(dropped)} lines that were cut off are passed over, their images come again whole: "
            f"{first_of([entry.image for entry in dropped])}"
        )
    return [entry.image for entry in dropped]


def _common_shape(
    entries: list[Entry], layouts: list[Layout], regions: int | None
) -> tuple[tuple[int, ...], np.ndarray]:
    first = layouts[0].shape(entries[0].shape)
    lengths = np.ones(len(entries), dtype=np.int64)
    for place, (entry, layout) in enumerate(zip(entries, layouts, strict=True)):
        shape = layout.shape(entry.shape)
        if len(shape) != len(first) or shape[-1] != first[-1]:
            raise InputError(f"{entry.where}: features {list(shape)} after {list(first)} in the images before")
        lengths[place] = min(regions_of(entry, layout), regions or np.iinfo(np.int64).max)
    if len(first) == 1:
        return first, lengths
    return (int(lengths.max()), first[1]), lengths


def _checked_sizes(entries: list[Entry]) -> list[Entry]:
    for entry in entries:
        if (entry.size is None) != (entries[0].size is None):
            raise InputError(f"{entry.where}: a size for some images only; expected sizes for all or for none")
        if entry.size is not None and not (np.isfinite(entry.size).all() and min(entry.size) > 0):
            raise InputError(f"{entry.where}: image of {entry.size[0]:g} x {entry.size[1]:g} pixels; expected its size")
    return entries


def _checked_boxes(entries: list[Entry], lengths: np.ndarray, trust: bool) -> list[Entry]:
    """Return the entries with the boxes of the regions in use, in pixels where sizes are known.

    Raises:
        InputError: boxes for some images only, NaN, edges in the wrong order, or outside their pictures.
    """
    for entry in entries:
        if entry.boxes is None:
            raise InputError(f"{entry.where}: no boxes, but other images have them; expected them for all or for none")
    corners = np.concatenate([entry.boxes[:length] for entry, length in zip(entries, lengths, strict=True)])  # type: ignore[index]
    owner = np.repeat(np.arange(len(entries)), lengths)
    wrong = disordered(corners)
    if wrong.any():
        entry = entries[owner[wrong.argmax()]]
        raise InputError(
            f"{entry.where}: a box with NaN or with its right or lower edge first, one of {int(wrong.sum())}; expected "
            "x1 y1 x2 y2"
        )
    if entries[0].size is not None:
        sizes = np.array([entry.size for entry in entries], dtype=np.float32)[owner]
        if relative(corners):
            say("boxes lie in 0 ... 1: they are multiplied by the sizes of the images and written in pixels")
            corners = corners * np.tile(sizes, 2)
        elif not trust:
            _check_inside(entries, owner, corners, sizes)
    empty = int((corners[:, 2:] == corners[:, :2]).any(axis=1).sum())
    if empty:
        warn(f"{empty} boxes have no area; they are kept as they are")
    ends = np.cumsum(lengths)
    return [
        entry._replace(boxes=corners[end - length : end])
        for entry, length, end in zip(entries, lengths, ends, strict=True)
    ]


def _check_inside(entries: list[Entry], owner: np.ndarray, corners: np.ndarray, sizes: np.ndarray) -> None:
    wrong = outside(corners, sizes)
    if not wrong.any():
        return
    place = int(wrong.argmax())
    entry, box = entries[owner[place]], corners[place].round(1).tolist()
    width, height = sizes[place].tolist()
    swapped = (
        "width and height are the wrong way round, see --fields"
        if not outside(corners, sizes[:, ::-1]).any()
        else ("expected x1 y1 x2 y2 in pixels of the original picture; --trust keeps them")
    )
    raise InputError(
        f"{entry.where}: box {box} leaves a picture of {width:g} x {height:g} pixels, as do {int(wrong.sum())} of "
        f"{len(wrong)} boxes; {swapped}"
    )
