"""Write feature files of a data set folder: rows in any order, in bounded memory, moved into place when complete."""

from __future__ import annotations

import io
import math
import os
import shutil
from pathlib import Path

import numpy as np

from vse.data.sources.entry import LARGEST_VALUE
from vse.errors import InputError
from vse.files import sync_folder

SIZE = np.dtype([("image_w", np.float32), ("image_h", np.float32)])
"""One row of `{split}_ims_size.npy`: pixels."""


class RowFile:
    """A .npy file that is written under a temporary name; `finish` moves it into place.

    Rows are written to the file itself, not to a memory map, whose pages would count as the process's memory.

    Args:
        rows: number of rows, or None if it is known only at `finish`.
        resume: continue the temporary file of an interrupted process; if the file is already in place, `finish`
            does nothing.

    Raises:
        InputError: the folder cannot be written, or the disk has no room for the rows.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype, rows: int | None = None, resume: bool = False
    ) -> None:
        self.path, self.shape, self.dtype, self.rows = path, shape, np.dtype(dtype), rows
        self.part = part_of(path)
        self.row_bytes = self.dtype.itemsize * math.prod(shape)
        self.offset = len(self._header(0))
        going_on = resume and self.part.is_file()
        self.placed = resume and not going_on and path.is_file()
        try:
            if rows is not None and not going_on and not self.placed:
                free, needed = shutil.disk_usage(path.parent).free, rows * self.row_bytes
                if needed > free:
                    raise InputError(
                        f"{path}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; make room, give "
                        "another --out, or take --dtype float16"
                    )
            if self.placed:
                self.file = path.open("rb", buffering=0)
            else:
                self.file = self.part.open("r+b" if going_on else "w+b", buffering=0)
        except OSError as problem:
            raise _unwritable(path, problem) from None

    def _header(self, rows: int) -> bytes:
        # NumPy leaves room for the digits of the first dimension, so that the header can be written again.
        buffer = io.BytesIO()
        description = np.lib.format.dtype_to_descr(self.dtype)
        content = {"descr": description, "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(buffer, content)
        return buffer.getvalue()

    def write(self, row: int, values: np.ndarray) -> None:
        """Rows row ... row + k - 1: [k, *shape] values of the file's dtype."""
        assert values.dtype == self.dtype
        assert values.shape[1:] == self.shape
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        try:
            self.file.seek(self.offset + row * self.row_bytes)
            while len(data):
                data = data[self.file.write(data.data) :]
        except OSError as problem:
            raise _unwritable(self.path, problem) from None

    def read(self, row: int) -> np.ndarray:
        """Read a row that was written."""
        self.file.seek(self.offset + row * self.row_bytes)
        data = self.file.read(self.row_bytes)
        return np.frombuffer(data, self.dtype).reshape(self.shape)

    def sync(self) -> None:
        """Make what was written outlast a crash of the machine."""
        os.fsync(self.file.fileno())

    def finish(self, rows: int | None = None) -> None:
        """Put the file in its place, with the first `rows` rows."""
        if self.placed:
            self.file.close()
            return
        rows = self.rows if rows is None else rows
        if rows is None:
            raise ValueError(f"{self.path}: its number of rows was never given")
        try:
            self.file.seek(0)
            self.file.write(self._header(rows))
            self.file.truncate(self.offset + rows * self.row_bytes)
            self.sync()
            self.file.close()
            self.part.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as problem:
            raise _unwritable(self.path, problem) from None

    def discard(self) -> None:
        """Leave nothing behind."""
        self.file.close()
        self.part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Return the temporary name of a file that is being written."""
    return path.with_name(f".{path.name}.part")


def _unwritable(path: Path, problem: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be written ({problem.strerror}); give --out on a disk with room that you may write"
    )


class SplitFiles:
    """`{split}_ims.npy` and the files beside it: boxes `_ims_bbx.npy`, sizes `_ims_size.npy`, regions `_ims_len.npy`.

    `finish` removes files of these names from an earlier conversion unless they are rewritten.

    Args:
        shape: (R, D) or (D,), of one image's features.
        rows, resume: see `RowFile`.
        lengths: images differ in their number of regions; `_ims_len.npy`, int32, will hold the numbers.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        shape: tuple[int, ...],
        dtype: str,
        boxes: bool,
        sizes: bool,
        rows: int | None = None,
        resume: bool = False,
        lengths: bool = False,
    ) -> None:
        self.features = RowFile(folder / f"{split}_ims.npy", shape, np.dtype(dtype), rows, resume)
        paths = [folder / f"{split}_ims_{name}.npy" for name in ("bbx", "size", "len")]
        regions = shape[0] if len(shape) == 2 else 1
        kinds = [((regions, 4), np.dtype(np.float32)), ((), SIZE), ((), np.dtype(np.int32))]
        self.boxes, self.sizes, self.lengths = (
            RowFile(path, *kind, rows, resume) if wanted else None
            for path, kind, wanted in zip(paths, kinds, (boxes, sizes, lengths), strict=True)
        )
        self.stale = [path for path, wanted in zip(paths, (boxes, sizes, lengths), strict=True) if not wanted]

    @property
    def files(self) -> list[RowFile]:
        """The files, the features last, because they make the others count."""
        return [file for file in (self.boxes, self.sizes, self.lengths, self.features) if file is not None]

    def write(
        self,
        row: int,
        features: np.ndarray,
        boxes: np.ndarray | None,
        sizes: np.ndarray | None,
        lengths: np.ndarray | None = None,
    ) -> None:
        """Rows row ... row + k - 1: features [k, ...], boxes [k, R, 4] (x1 y1 x2 y2) and sizes [k, 2] in pixels.

        `lengths` [k] are the regions in use of features [k, R, D]; those after them are zero.
        """
        self.features.write(row, features)
        if self.lengths is not None:
            self.lengths.write(row, _given(lengths, "lengths").astype(np.int32))
        if self.boxes is not None:
            self.boxes.write(row, _given(boxes, "boxes").astype(np.float32))
        if self.sizes is not None:
            self.sizes.write(row, np.ascontiguousarray(_given(sizes, "sizes"), dtype=np.float32).view(SIZE)[:, 0])

    def sync(self) -> None:
        """Make what was written outlast a crash of the machine."""
        for file in self.files:
            file.sync()

    def finish(self, rows: int | None = None) -> None:
        """Give the files their final names; with `rows`, cut them to that number of images."""
        for path in self.stale:
            path.unlink(missing_ok=True)
        for file in self.files:
            file.finish(rows)

    def discard(self) -> None:
        """Delete the unfinished files."""
        for file in self.files:
            file.discard()


def _given(values: np.ndarray | None, what: str) -> np.ndarray:
    if values is None:
        raise ValueError(f"a file of {what} was begun, and these images have none")
    return values


def to_dtype(features: np.ndarray, dtype: str, where: str, trusted: bool = False) -> np.ndarray:
    """Convert features to the precision of the file.

    Args:
        where: begins the message.
        trusted: values beyond LARGEST_VALUE are kept.

    Raises:
        InputError: NaN, infinite or implausibly large values, or too large ones for float16.
    """
    if features.dtype.kind != "f":
        raise InputError(f"{where}: features of dtype {features.dtype}; expected floating-point numbers")
    with np.errstate(over="ignore"):
        converted = features.astype(dtype, copy=False)
    if not np.isfinite(converted).all():
        if np.isfinite(features).all():
            raise InputError(
                f"{where}: features up to {np.abs(features).max():g} do not fit float16; take --dtype float32"
            )
        raise InputError(f"{where}: features hold NaN or infinity; extract the features of this image again")
    if not trusted and (largest := float(np.abs(converted).max())) > LARGEST_VALUE:
        raise InputError(
            f"{where}: features up to {largest:g}, which no network gives; the numbers are of another precision "
            "(--dtype_in) or damaged, or keep them with --trust"
        )
    return converted
