"""NumPy files: their stated size is checked before anything of that size is read, and nothing in them can run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self
from zipfile import ZipFile

import numpy as np

from vse.files import open_regular
from vse.formats.pickles import Refused
from vse.formats.tensor_files import directory_size

MAX_DIRECTORY = 2**24
"""Bytes of an archive's directory, about 60 for each array."""

LOOSEST = 20
SLACK = 2**26
"""An archive may unpack to so many times its size, and these bytes; features that are half zero shrink to a third."""


def read_npy(path: Path, mmap_mode: Literal["r", "c"] | None = None) -> np.ndarray:
    """Read or map the array of a `.npy` file.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it holds something else, Python objects, or less than it states; the message says what.
    """
    with open_regular(path) as file, _damage():
        _check_header(file, os.fstat(file.fileno()).st_size)
        if mmap_mode is None:
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
        return np.lib.format.open_memmap(path, mode=mmap_mode)


def npy_shape(file: BinaryIO) -> tuple[int, ...]:
    """Read the shape of the array in an open `.npy` file, and go back to its beginning.

    Raises:
        ValueError: as `read_npy`.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with _damage():
        shape = _check_header(file, size)
    file.seek(0)
    return shape


class Archive(Mapping[str, np.ndarray]):
    """The arrays of a `.npz` file, each read when it is asked for.

    Args:
        source: the file, or one that is open.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no archive, or unpacks to far more than its size.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        self.file = open_regular(source) if isinstance(source, Path) else source
        with _damage():
            size = self.file.seek(0, os.SEEK_END)
            if directory_size(self.file, size) > MAX_DIRECTORY:
                raise ValueError("it lists more arrays than archives have")
            self.zip = ZipFile(self.file)
            self.members = {member.filename.removesuffix(".npy"): member for member in self.zip.infolist()}
            whole = sum(member.file_size for member in self.members.values())
            if whole > LOOSEST * size + SLACK:
                raise ValueError(f"it unpacks to {whole / 1e9:.1f} GB, {whole // size} times its size")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, name: str) -> np.ndarray:
        member = self.members[name]
        with _damage():
            self.shape(name)
            with self.zip.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)

    def shape(self, name: str) -> tuple[int, ...]:
        """Read the shape of an array without the array.

        Raises:
            ValueError: it is damaged, or holds Python objects.
        """
        member = self.members[name]
        with _damage(), self.zip.open(member) as file:
            return _check_header(file, member.file_size)


@contextmanager
def _damage() -> Iterator[None]:
    """Raise ValueError for whatever a library raises about a damaged file."""
    try:
        yield
    except (OSError, ValueError) as problem:
        if isinstance(problem, OSError) and problem.errno:
            raise
        raise ValueError(str(problem).partition("\n")[0] or "it is damaged") from None
    except Refused as problem:
        raise ValueError(str(problem)) from None
    except Exception:  # zlib, the unpackers and the parser of headers raise what they like
        raise ValueError("it is damaged") from None


def _check_header(file: Any, size: int) -> tuple[int, ...]:
    """Read the header of an array in a file of so many bytes -> its shape."""
    magic = file.read(8)
    if magic[:4] == b"PK\x03\x04":
        raise ValueError("it is a .npz archive")
    if magic[:6] != b"\x93NUMPY":
        raise ValueError("it is no .npy file")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    begin = 8 + width + length
    if begin > min(size, 8 + width + 65_536):
        raise ValueError("it is cut off")
    file.seek(0)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except Exception:  # numpy's parser raises what it likes
        raise ValueError("its header is damaged") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    entries = math.prod(map(int, shape))
    stated = entries * dtype.itemsize
    if min(shape, default=0) < 0 or (not dtype.itemsize and entries):
        raise ValueError(f"its shape {list(shape)} is impossible")
    if begin + stated > size:
        raise ValueError(f"it is truncated, {begin + stated} bytes are stated and {size} are there")
    return tuple(shape)
