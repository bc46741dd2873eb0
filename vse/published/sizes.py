"""Regions of images: data of networks that need them, their boxes and the images' sizes, in our and published files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from vse.errors import InputError


def read_sizes(path: Path) -> np.ndarray:
    """Widths and heights [images, 2], float32, of a `*_ims_size.npy`.

    A structured array with fields image_w and image_h, numbers [images, 2], or the published array of Python
    dictionaries, of which nothing is executed.

    Raises:
        InputError: missing, or nothing of the kind.
    """
    expected = "expected the width and height of each image in pixels, fields image_w and image_h"
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            file.seek(0)
            array = _read_objects(file) if _holds_objects(path) else np.load(file, allow_pickle=False)
        if array.dtype.names is not None:
            array = np.stack([array["image_w"], array["image_h"]], axis=1)
        elif array.dtype == object:
            array = np.array([(entry["image_w"], entry["image_h"]) for entry in array])
        sizes: np.ndarray = array.astype(np.float32)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {expected} (or boxes that lie within 0 ... 1)") from None
    except Exception as problem:  # a damaged pickle may raise almost anything
        raise InputError(f"{path}: cannot be read ({problem}); {expected}") from None
    if sizes.ndim != 2 or sizes.shape[1] != 2 or not (sizes > 0).all():
        raise InputError(f"{path}: {list(sizes.shape)} sizes, not all positive pairs; {expected}")
    return sizes


def _holds_objects(path: Path) -> bool:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return bool(read(file)[2].hasobject)


def _read_objects(file: Any) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read(file)
    array = _SizesReader(file, encoding="latin1").load()
    if not isinstance(array, _PickledArray):
        raise pickle.UnpicklingError("it holds something else")
    return np.fromiter(array.content, dtype=object)


class _PickledArray:
    """Stands in for a pickled array of objects and keeps its content."""

    content: list[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.content = list(state[4])


class _PickledType:
    """Stands in for a pickled dtype of numbers."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


def _scalar(kind: _PickledType, content: str | bytes) -> float:
    raw = content.encode("latin1") if isinstance(content, str) else content
    order = "<" if kind.order in ("|", "=") else kind.order
    return float(np.frombuffer(raw, np.dtype(order + kind.name))[0])


def _array(*_: object) -> _PickledArray:
    return _PickledArray()


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


class _SizesReader(pickle.Unpickler):
    """Reads a pickled array of dictionaries of numbers; a file can name nothing but these stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        names = {"_reconstruct": _array, "scalar": _scalar, "ndarray": _PickledArray, "dtype": _PickledType}
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in names:
            return names[name]
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!r}")


def load_array(path: Path) -> np.ndarray:
    """Memory-map an array of numbers.

    Raises:
        InputError: truncated, or it holds Python objects.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        raise InputError(
            f"{path}: truncated, or Python objects in place of numbers; write it with numpy.save"
        ) from None
    return array
