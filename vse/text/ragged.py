"""Rows of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, stored one after another: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray  # [entries of all rows, ...]
    offsets: np.ndarray  # [rows + 1] int64

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]], dtype: DTypeLike, shape: tuple[int, ...] = ()) -> Self:
        """Store rows of entries one after another.

        Args:
            rows: [length, *shape] each.
            dtype: type of the stored entries.
            shape: shape of one entry.

        Raises:
            TypeError, ValueError, OverflowError: an entry has another shape, or is no number of this type.
        """
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        entries = list(chain.from_iterable(rows))
        values = np.array(entries, dtype) if entries else np.empty((0, *shape), dtype)
        if values.shape[1:] != shape:
            raise ValueError(f"entries of shape {values.shape[1:]}, expected {shape}")
        return cls(values, offsets)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Return one row, [length, ...], without a copy."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """[rows] int64, entries per row."""
        return np.diff(self.offsets)

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Locate the entries of rows [B] -> their places in `values`, row after row; lengths of the rows [B]."""
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        first = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) + np.repeat(starts - first, lengths), lengths

    def stack(self, indices: np.ndarray, padding: int = 0) -> np.ndarray:
        """Stack rows [B] -> [B, longest of them, ...] int64, shorter rows filled up with `padding`."""
        places, lengths = self.places(indices)
        inside = np.arange(lengths.max(initial=0)) < lengths[:, None]
        stacked = np.full((*inside.shape, *self.values.shape[1:]), padding, dtype=np.int64)
        stacked[inside] = self.values[places]
        return stacked
