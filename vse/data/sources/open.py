"""Recognise the form of a feature file by its content, and open it."""

from __future__ import annotations

from pathlib import Path

from vse.data.sources.arrays import NPY, NPZ, FolderSource, open_table
from vse.data.sources.entry import Source
from vse.data.sources.hdf5 import open_hdf5
from vse.data.sources.lmdb import LmdbSource
from vse.data.sources.tsv import TsvSource
from vse.errors import InputError
from vse.files import open_regular

HDF5 = b"\x89HDF\r\n\x1a\n"

LMDB = b"\xde\xc0\xef\xbe"
"""At byte 16 of a little-endian LMDB file."""


def open_source(
    path: Path,
    columns: str | None = None,
    key: str | None = None,
    ids: Path | None = None,
    dim: int | None = None,
    dtype: str | None = None,
) -> Source:
    """Open a feature file, or a folder of them, of any of the forms in this package.

    Args:
        columns: names of the columns of a TSV file, see `TsvSource`.
        key: name of the features, see `open_hdf5`, `FolderSource` and `LmdbSource`.
        ids: file with the id of each row, see `TableSource`.
        dim: LMDB values are bare numbers, so many for each region.
        dtype: precision of numbers that do not tell it themselves, in TSV and with `dim`.

    Raises:
        InputError: it is not there, damaged, or of another form.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; expected features as TSV, HDF5, LMDB, .npy or .npz")
    if path.is_dir():
        return LmdbSource(path, key, dim, dtype) if (path / "data.mdb").is_file() else FolderSource(path, key)
    try:
        with open_regular(path) as file:
            head = file.read(20)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a file of features") from None
    if head.startswith(HDF5):
        return open_hdf5(path, key, ids)
    if head.startswith((NPY, NPZ)):
        return open_table(path, key, ids)
    if head[16:20] == LMDB or path.suffix in (".lmdb", ".mdb"):
        return LmdbSource(path, key, dim, dtype)
    if head[:1] == b"\x80":
        raise InputError(
            f"{path}: a pickle; it is not read, because reading would run what it holds, convert it to HDF5"
        )
    return TsvSource(path, columns, dtype)
