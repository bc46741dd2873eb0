"""Pickles of plain values, read without executing anything: containers, text, numbers, arrays of these."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vse.files import read_bytes
from vse.formats.pickles import Names, SafeUnpickler, StandIn

MOST = 20_000_000
"""Operations of one pickle: the sizes of MS-COCO's images take three million."""


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of lists, dictionaries, text and numbers, NumPy's included, by Python 2 or 3.

    Integers as keys of dictionaries become text.

    Raises:
        Refused: damaged, or it asks for anything else; nothing of it has run.
        OSError: the file cannot be opened.
    """
    return load_plain(io.BytesIO(read_bytes(path)))


def load_plain(file: BinaryIO) -> Any:
    """`read_plain_pickle`, of an open file in memory."""
    loaded = _PlainReader(file, NAMES).load()
    return loaded.content if isinstance(loaded, _Array) else loaded


class _PlainReader(SafeUnpickler):
    def __init__(self, file: BinaryIO, names: Names) -> None:
        super().__init__(file, names)
        self.most = MOST

    def key(self, key: Any) -> Any:
        """Integers of any size could be chosen to collide; as text they cannot."""
        return str(key) if type(key) is int else super().key(key)


class _Dtype(StandIn):
    """What a pickle tells of a dtype."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.order = name, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = "<" if state[1] in ("|", "=") else state[1]

    def numbers(self, raw: str | bytes) -> list[Any]:
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        values: list[Any] = np.frombuffer(data, np.dtype(self.order + self.name)).tolist()
        return values


class _Array(StandIn):
    """The content of a pickled array, flat."""

    content: list[Any]

    def __setstate__(self, state: Any) -> None:
        _, _, dtype, _, data = state
        self.content = list(data) if isinstance(data, list) else dtype.numbers(data)


def _scalar(dtype: _Dtype, raw: str | bytes) -> Any:
    return dtype.numbers(raw)[0]


def _array(*_: object) -> _Array:
    return _Array()


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


NAMES: Names = {
    **{
        (module, name): made
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name, made in {"_reconstruct": _array, "scalar": _scalar, "ndarray": _Array, "dtype": _Dtype}.items()
    },
    ("_codecs", "encode"): _encoded,
}
"""NumPy's arrays, scalars and dtypes, and what Python 3 writes bytes with by old protocols."""
