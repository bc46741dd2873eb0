"""Files of `torch.save`: tensors and plain values; nothing in them can run, and time and memory are bounded.

`torch.load(weights_only=True)` runs nothing either, but a small hostile file may make it unpack gigabytes, and tensors
without memory behind them end the program later. Both formats of PyTorch are read: the archive of today and the
sequence of pickles that it wrote before version 1.6.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError
from vse.formats.pickles import ORDERED, ForeignName, Names, Refused, SafeUnpickler, StandIn
from vse.memory import is_lack_of_memory

MAX_DIRECTORY = 2**22
"""Bytes of an archive's directory, about 80 for each tensor."""
MAX_DEPTH = 100
"""Containers within containers."""
SLACK = 65_536
"""Bytes or values by which even a small file may exceed what its size allows."""

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class DamagedError(InputError):
    """The file is cut off, altered or not of the kind expected; another copy of it may be whole."""


def read(path: Path, names: Names | None = None, encoding: str = "latin1") -> Any:
    """Return what a file of `torch.save` holds: tensors on the CPU, dicts, lists, tuples and plain values.

    Args:
        names: further classes and functions that the file may use, (module, name) -> what to use in their place.
        encoding: of Python 2 strings.

    Raises:
        DamagedError: it is cut off, altered or something else.
        InputError: it is missing, cannot be read, or holds other Python objects.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: not a regular file; give a checkpoint file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            read_content = _read_archive if file.read(4) == b"PK\x03\x04" else _read_legacy
            content, operations = read_content(file, size, {**_TENSORS, **(names or {})}, encoding)
            _check_cost(content, size, operations)
            return content
    except InputError:
        raise
    except ForeignName as problem:
        raise InputError(
            f"{path}: holds Python objects besides tensors and plain values ({problem}); expected a checkpoint of this "
            "repository or of the original code"
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint; train first, or give another file") from None
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror or problem}); give a file you may read") from None
    except Exception as problem:  # a damaged file may raise almost anything
        if is_lack_of_memory(problem):
            raise
        reason = f" ({problem})" if isinstance(problem, Refused) else ""
        raise DamagedError(f"{path}: damaged or not a checkpoint{reason}; use another copy of the file") from None


def _read_archive(file: BinaryIO, size: int, names: Names, encoding: str) -> tuple[Any, int]:
    """Read a file of PyTorch 1.6 or later: a ZIP archive of a pickle and one member for each storage."""
    if directory_size(file, size) > MAX_DIRECTORY:
        raise Refused("it lists more tensors than checkpoints have")
    with ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        stored = all(member.compress_type == ZIP_STORED for member in members.values())
        if not stored or sum(member.file_size for member in archive.infolist()) > size:
            raise Refused("it is packed more tightly than checkpoints are")
        root = next((name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")), "")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != sys.byteorder.encode():
            raise Refused(f"its bytes are not in {sys.byteorder}-endian order")
        storages: dict[str, Tensor] = {}

        def storage(pid: Any) -> Tensor:
            key, dtype, count = _checked_storage(pid)
            if key not in storages:
                member = members[f"{root}data/{key}"]
                if member.file_size != count * dtype.itemsize:
                    raise Refused(f"storage {key} has another size than stated")
                storages[key] = torch.empty(count, dtype=dtype)
                try:
                    with archive.open(member) as source:
                        _fill(storages[key], source.read)
                except BadZipFile:
                    raise Refused("its bytes do not match their checksum") from None
            return storages[key]

        with archive.open(f"{root}data.pkl") as pickled:
            reader = SafeUnpickler(io.BytesIO(pickled.read()), names, storage, encoding)
        return reader.load(), reader.operations


def directory_size(file: BinaryIO, size: int) -> int:
    """Return the bytes of an archive's directory, of the larger one where it is stated in 32 and in 64 bits.

    Raises:
        Refused: the file does not end with a directory.
    """
    file.seek(max(size - 98, 0))
    end = file.read()
    if end[-22:-18] != b"PK\x05\x06":
        raise Refused("it is no whole archive")
    stated = [int.from_bytes(end[-10:-6], "little")]
    if end.startswith(b"PK\x06\x06"):
        stated = [0 if stated == [2**32 - 1] else stated[0], int.from_bytes(end[40:48], "little")]
    return max(stated)


def _read_legacy(file: BinaryIO, size: int, names: Names, encoding: str) -> tuple[Any, int]:
    """Read a file of PyTorch before 1.6: pickles of a header, the content and its storages' names, then raw bytes."""
    storages: dict[str, Tensor] = {}
    room = size

    def storage(pid: Any) -> Tensor:
        nonlocal room
        key, dtype, count = _checked_storage(pid)
        if key not in storages:
            room -= count * dtype.itemsize
            if room < 0:
                raise Refused("its storages are larger than the file")
            storages[key] = torch.empty(count, dtype=dtype)
        return storages[key]

    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        header = [SafeUnpickler(mapped, {}).load() for _ in range(3)]
        if header[0] != _LEGACY_MAGIC or not isinstance(header[2], dict):
            raise Refused("it begins with something else")
        if header[2].get("little_endian", True) != (sys.byteorder == "little"):
            raise Refused(f"its bytes are not in {sys.byteorder}-endian order")
        reader = SafeUnpickler(mapped, names, storage, encoding)
        content = reader.load()
        order = SafeUnpickler(mapped, {}).load()
        if sorted(order) != sorted(storages):
            raise Refused("it lacks storages that it refers to")
        for key in order:
            count = mapped.read(8)
            if len(count) < 8:
                raise EOFError
            if int.from_bytes(count, "little") != storages[key].numel():
                raise Refused(f"storage {key} has another size than stated")
            _fill(storages[key], mapped.read)
    return content, reader.operations


def _checked_storage(pid: Any) -> tuple[str, torch.dtype, int]:
    """Return key, type and number of elements of the storage that a persistent id names."""
    kind, dtype, key, _device, count, *views = pid
    if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or any(views):
        raise Refused("it refers to something that is no storage")
    if type(count) is not int or count < 0:
        raise Refused("it holds a storage of no size")
    return key, dtype, count


def _fill(storage: Tensor, read_bytes: Callable[[int], bytes]) -> None:
    target = storage.view(torch.uint8).numpy()
    done = 0
    while done < len(target):
        piece = read_bytes(min(len(target) - done, 1 << 20))
        if not piece:
            raise EOFError
        target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """Make a tensor of a storage; `as_strided` refuses what lies outside it."""
    if not isinstance(storage, Tensor) or prod(size) > storage.numel():
        raise Refused("it holds a tensor that is larger than its storage")
    return storage.as_strided(size, stride, offset)


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


_TENSORS: Names = {
    **ORDERED,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def _check_cost(content: Any, size: int, operations: int) -> None:
    """Refuse what costs far more to walk through than the file is large: values and tensors that share memory."""
    values, volume = 2 * operations + SLACK, 4 * size + SLACK
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        values -= 1
        if isinstance(value, Tensor):
            volume -= value.numel() * value.element_size()
        elif isinstance(value, str):
            volume -= len(value)
        elif isinstance(value, dict):
            waiting.extend((item, depth + 1) for pair in value.items() for item in pair)
        elif isinstance(value, (list, tuple)):
            waiting.extend((item, depth + 1) for item in value)
        elif isinstance(value, StandIn):
            waiting.append((value.state, depth + 1))
        elif type(value) is int and abs(value) >= 2**63:
            raise Refused("it holds a number of more than 64 bits")
        if depth > MAX_DEPTH or values < 0 or volume < 0:
            raise Refused("it refers to the same values again and again")
