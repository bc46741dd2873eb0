"""Arrays over all images, in HDF5, .npz or .npy: [n, R, D], [n, D, R], [n, D], or all regions in a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vse.console import warn
from vse.data.sources.entry import (
    BOX_KEYS,
    COUNT_KEYS,
    HEIGHT_KEYS,
    ID_KEYS,
    WIDTH_KEYS,
    Axes,
    Entry,
    check_shape,
    pick,
)
from vse.data.sources.ids import ids_beside, ids_of_rows, read_id_file
from vse.errors import InputError

BLOCK, BLOCK_BYTES = 64, 2**26
"""Most images, and about the most bytes, that are read at a time: a compressed chunk usually holds several images."""

SPANS = "pos_boxes"
"""[n, 2]: where the regions of an image begin and end among those of all images."""


class TableSource:
    """Arrays whose first axis is the image, or where `pos_boxes` or numbers of boxes say which regions are whose.

    Args:
        arrays: what the file holds, by name.
        key: the name of the features.
        ids: file of ids, one for each row; None: ids in `arrays`, or in a file whose name goes with that of `path`.
        close: what closes the file.

    Raises:
        InputError: no ids, or arrays that do not fit each other.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, Any],
        key: str,
        ids: Path | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self.key, self.close = path, key, close
        self.array = arrays[key]
        boxes = self._member(arrays, BOX_KEYS)
        self.boxes = None if boxes is None else arrays[boxes]
        self.width, self.height = self._column(arrays, WIDTH_KEYS), self._column(arrays, HEIGHT_KEYS)
        self.counts = self._column(arrays, COUNT_KEYS)
        self.spans = self._spans(arrays)
        rows = len(self.array) if self.spans is None else len(self.spans)
        self.ids = self._ids(arrays, ids, rows)
        for name, column in (("widths", self.width), ("heights", self.height), ("numbers of boxes", self.counts)):
            if column is not None and len(column) != rows:
                raise InputError(f"{path}: {len(column)} {name} for {rows} images of {key}; expected as many")
        if self.boxes is not None and len(self.boxes) != len(self.array):
            raise InputError(
                f"{path}: boxes {list(self.boxes.shape)} beside {key} {list(self.array.shape)}; expected as many rows"
            )
        self.block: tuple[int, np.ndarray] = (-1, np.empty(0))

    def _member(self, arrays: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
        return pick(arrays, names, str(self.path), "expected one of them, remove the other from a copy of the file")

    def _column(self, arrays: Mapping[str, Any], names: tuple[str, ...]) -> np.ndarray | None:
        name = self._member(arrays, names)
        if name is None:
            return None
        column = np.asarray(arrays[name][()])
        numbers = column.dtype.kind in "iuf" and np.isfinite(column).all()
        if not numbers or column.size != max(column.shape, default=0):
            raise InputError(
                f"{self.path}: {name} {column.dtype} {list(column.shape)}; expected a finite number for each image"
            )
        return column.ravel()

    def _spans(self, arrays: Mapping[str, Any]) -> np.ndarray | None:
        """First and last + 1 row of the regions of each image, where the rows of the features are regions."""
        if self.array.ndim not in (2, 3, 4):
            raise InputError(
                f"{self.path}: {self.key} {list(self.array.shape)}; expected [images, regions, dimensions] or "
                "[images, dimensions]"
            )
        if SPANS in arrays:
            spans = np.asarray(arrays[SPANS][()])
        elif self.array.ndim == 2 and self.counts is not None and self.counts.sum() == len(self.array):
            ends = np.cumsum(self.counts).astype(np.int64)
            spans = np.stack([ends - self.counts.astype(np.int64), ends], axis=1)
        else:
            return None
        total = len(self.array)
        fits = spans.ndim == 2 and spans.shape[1] == 2 and spans.dtype.kind in "iu" and self.array.ndim == 2
        if not fits or (spans[:, 0] >= spans[:, 1]).any() or (spans < 0).any() or (spans > total).any():
            raise InputError(
                f"{self.path}: {SPANS} {list(spans.shape)} do not give each image its rows of {self.key} "
                f"{list(self.array.shape)}; expected first and last + 1 row of each"
            )
        inside = spans[np.argsort(spans[:, 0])]
        if (inside[1:, 0] < inside[:-1, 1]).any():
            raise InputError(f"{self.path}: {SPANS} give regions to two images; the file is damaged, use another copy")
        unused = total - int((spans[:, 1] - spans[:, 0]).sum())
        if unused:
            warn(f"{self.path}: {unused} of {total} rows of {self.key} belong to no image; they are left out")
        return spans.astype(np.int64)

    def _ids(self, arrays: Mapping[str, Any], file: Path | None, rows: int) -> list[str]:
        if file is not None:
            return read_id_file(file, rows)
        inside = {
            name: ids_of_rows(arrays[name][()], rows, f"{self.path}: {name}") for name in ID_KEYS if name in arrays
        }
        if len({tuple(ids) for ids in inside.values()}) > 1:
            raise InputError(
                f"{self.path}: holds {' and '.join(inside)}, which differ; give the right ones with --ids FILE"
            )
        if inside:
            return next(iter(inside.values()))
        beside = ids_beside(self.path)
        if beside is None:
            raise InputError(
                f"{self.path}: {self.key} without ids; expected a dataset {' or '.join(ID_KEYS[:3])} in it, or a file "
                "with the id of each row: --ids FILE"
            )
        return read_id_file(beside, rows)

    @property
    def axes(self) -> Axes:
        """Order of the axes of the stored arrays."""
        return "auto" if self.spans is None else "rd"

    def entries(self) -> list[Entry]:
        """List the images, with shapes, boxes and sizes; features are not read."""
        boxes = None if self.boxes is None else np.asarray(self.boxes[()])
        found = []
        for row, image in enumerate(self.ids):
            where = f"{self.path}, row {row} of {self.key}"
            place = slice(row, row + 1)
            shape = tuple(self.array.shape[1:])
            if self.spans is not None:
                place = slice(*self.spans[row].tolist())
                shape = (place.stop - place.start, *shape)
            check_shape(shape, where)
            some = None if boxes is None else boxes[place] if self.spans is not None else boxes[row]
            size = None
            if self.width is not None and self.height is not None:
                size = (float(self.width[row]), float(self.height[row]))
            count = None if self.counts is None else int(self.counts[row])
            found.append(Entry(image, shape, where, place, some, size, count))
        return found

    def features(self, entry: Entry) -> np.ndarray:
        """Read the features of an entry as they are stored."""
        if self.spans is not None:
            return np.asarray(self.array[entry.place])
        size = max(1, math.prod(entry.shape) * self.array.dtype.itemsize)
        count = max(1, min(BLOCK, BLOCK_BYTES // size))
        first = entry.place.start // count * count
        if self.block[0] != first:
            self.block = (first, np.asarray(self.array[first : first + count]))
        return self.block[1][entry.place.start - first]
