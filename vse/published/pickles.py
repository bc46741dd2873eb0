"""Pickles of plain values, read without executing anything: containers, text, numbers, arrays of these."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of lists, dictionaries, text and numbers, NumPy's included, by Python 2 or 3.

    Raises:
        ValueError: damaged, or it asks for anything else; nothing of it has run.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return load_plain(file)


def load_plain(file: BinaryIO) -> Any:
    """`read_plain_pickle`, of an open file."""
    try:
        loaded = _PlainReader(file, encoding="latin1").load()
    except Exception as problem:  # a damaged pickle may raise almost anything
        raise ValueError(str(problem) or type(problem).__name__) from None
    return loaded.content if isinstance(loaded, _Array) else loaded


class _Dtype:
    """What a pickle tells of a dtype."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = "<" if state[1] in ("|", "=") else state[1]

    def numbers(self, raw: str | bytes) -> list[Any]:
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        values: list[Any] = np.frombuffer(data, np.dtype(self.order + self.name)).tolist()
        return values


class _Array:
    """The content of a pickled array, flat."""

    content: list[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, _, dtype, _, data = state
        self.content = list(data) if isinstance(data, list) else dtype.numbers(data)


def _scalar(dtype: _Dtype, raw: str | bytes) -> Any:
    return dtype.numbers(raw)[0]


def _array(*_: object) -> _Array:
    return _Array()


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


class _PlainReader(pickle.Unpickler):
    """A pickle may name NumPy's arrays, scalars and dtypes, in whose places these classes are made; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        names = {"_reconstruct": _array, "scalar": _scalar, "ndarray": _Array, "dtype": _Dtype}
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in names:
            return names[name]
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!r}")
