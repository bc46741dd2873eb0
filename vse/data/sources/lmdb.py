"""LMDB: key = image id, value = the bytes of a .npy or .npz file, or raw numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from vse.data.sources.arrays import array_entry, read_array
from vse.data.sources.entry import Axes, Entry, check_shape, natural
from vse.data.sources.payload import DTYPES, decide_dtype
from vse.errors import InputError

NOTES = ("keys", "len", "length", "size", "num_samples")
"""Keys of notes that some writers leave."""

SAMPLE = 64
"""Values of bare numbers that are looked at to find out their precision."""


class LmdbSource:
    """An LMDB file, or a folder with `data.mdb`.

    Pickled values are refused, because reading them would run their code.

    Args:
        key: name of the features in .npz values.
        dim: values are raw numbers, this many per region.
        dtype: their precision; None: inferred, see `decide_dtype`.

    Raises:
        InputError: lmdb is missing, or the file is damaged or cut off.
    """

    def __init__(self, path: Path, key: str | None = None, dim: int | None = None, dtype: str | None = None) -> None:
        try:
            import lmdb
        except ImportError:
            raise InputError(f'{path}: reading LMDB takes the package lmdb; pip install "vse[convert]"') from None
        self.path, self.key, self.dim, self.dtype = path, key, dim, dtype
        try:
            self.database = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
        except lmdb.Error as problem:
            raise InputError(f"{path}: damaged or not LMDB ({problem}); use another copy of the file") from None
        file = path / "data.mdb" if path.is_dir() else path
        needed = (self.database.info()["last_pgno"] + 1) * self.database.stat()["psize"]
        if file.stat().st_size < needed:  # pages beyond the end would kill the process on reading
            self.close()
            raise InputError(
                f"{path}: {file.stat().st_size} bytes of {needed}; the file was cut off, use another copy of it"
            )
        self.transaction = self.database.begin(buffers=True)

    @property
    def axes(self) -> Axes:
        """Order of the axes of the stored arrays."""
        return "auto" if self.dim is None else "rd"

    def entries(self) -> list[Entry]:
        """List the images, with shapes, boxes and sizes; features are not read."""
        import lmdb

        try:
            keys = [bytes(key) for key in self.transaction.cursor().iternext(keys=True, values=False)]
        except lmdb.Error as problem:
            raise InputError(f"{self.path}: damaged ({problem}); use another copy of the file") from None
        names = {key: key.decode("utf-8", "replace") for key in keys}
        keys = sorted((key for key in keys if names[key].strip("_") not in NOTES), key=lambda key: natural(names[key]))
        if self.dim is not None and self.dtype is None and keys:
            self.dtype = self._find_dtype(keys, self.dim)
        return [self._entry(names[key], key) for key in keys]

    def features(self, entry: Entry) -> np.ndarray:
        """Read the features of an entry as they are stored."""
        value = self._value(entry.place)
        if self.dim is not None:
            return np.frombuffer(value, DTYPES[self.dtype or "float32"]).reshape(entry.shape)
        return read_array(io.BytesIO(value), self.key, entry.where)

    def _value(self, key: bytes) -> Any:
        return self.transaction.get(key)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def _find_dtype(self, keys: list[bytes], dim: int) -> str:
        chosen = [keys[place] for place in np.unique(np.linspace(0, len(keys) - 1, SAMPLE).astype(int))]
        payloads = [np.frombuffer(self._value(key), np.uint8) for key in chosen]
        return decide_dtype(payloads, [dim] * len(payloads), "float32", f"{self.path} with --dim {dim}")

    def _entry(self, image: str, key: bytes) -> Entry:
        where = f"{self.path}, entry {image[:60]!r}"
        value = self._value(key)
        if self.dim is None:
            return array_entry(image, io.BytesIO(value), self.key, where, key)
        item = np.dtype(DTYPES[self.dtype or "float32"]).itemsize * self.dim
        if not len(value) or len(value) % item:
            raise InputError(f"{where}: {len(value)} bytes; expected {self.dtype} numbers, {self.dim} for each region")
        check_shape((len(value) // item, self.dim), where)
        return Entry(image, (len(value) // item, self.dim), where, key)
