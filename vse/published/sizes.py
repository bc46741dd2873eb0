"""The sizes of images beside the boxes of their regions, in our files and in those of the original code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vse.errors import InputError
from vse.files import open_regular
from vse.formats.array_files import read_npy
from vse.published.pickles import load_plain

LARGEST = 100_000
"""Pixels a side; more is no size of a picture."""


def read_sizes(path: Path) -> np.ndarray:
    """Read widths and heights [images, 2], float32, of a `*_ims_size.npy`.

    The file holds a structured array with the fields image_w and image_h, numbers [images, 2], or the original code's
    array of Python dictionaries, of which nothing is executed.

    Raises:
        InputError: missing, or nothing of the kind.
    """
    expected = "expected the width and height of each image in pixels, fields image_w and image_h"
    try:
        with open_regular(path) as file:
            array = _read(file)
        if array.dtype.names is not None:
            array = np.stack([array["image_w"].ravel(), array["image_h"].ravel()], axis=1)
        elif array.dtype == object:
            array = np.array([(entry["image_w"], entry["image_h"]) for entry in array])
        sizes: np.ndarray = array.astype(np.float32)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {expected} (or boxes that lie within 0 ... 1)") from None
    except Exception as problem:  # a damaged file may raise almost anything
        raise InputError(f"{path}: cannot be read ({problem}); {expected}") from None
    if sizes.ndim != 2 or sizes.shape[1] != 2 or not ((sizes > 0) & (sizes <= LARGEST)).all():
        raise InputError(f"{path}: {list(sizes.shape)} sizes, not all positive pairs; {expected}")
    return sizes


def _read(file: BinaryIO) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    holds_objects = header(file)[2].hasobject
    if holds_objects:
        return np.fromiter(load_plain(io.BytesIO(file.read())), dtype=object)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Memory-map an array of numbers.

    Raises:
        InputError: truncated, or it holds Python objects.
    """
    try:
        return read_npy(path, "r")
    except (ValueError, OSError) as problem:
        raise InputError(f"{path}: {problem}; expected an array of numbers, write it with numpy.save") from None
