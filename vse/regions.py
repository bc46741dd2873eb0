"""Regions of images: data of networks that need them, their boxes and the images' sizes, in our and published files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vse.batches import TrainingData, open_training_data
from vse.datasets import Split
from vse.errors import InputError
from vse.features import Features
from vse.options import DataOptions, say
from vse.vocabulary import Vocabulary


class Boxes(NamedTuple):
    """Boxes of a split's images in pixels, and the images' sizes; sizes of 1 where the boxes are normalised already."""

    corners: np.ndarray  # [N, R, 4] x1 y1 x2 y2, float32
    sizes: np.ndarray  # [N, 2] width and height, float32

    def divided(self, images: np.ndarray, times: np.ndarray | int = 1) -> Tensor:
        """Boxes [b, R, 4] of these images, divided by the images' sizes so many times (published: at every access)."""
        corners, sizes = self.corners[images], np.tile(self.sizes[images], 2)[:, None]
        times = np.broadcast_to(times, len(images))
        for done in range(times.max(initial=0)):
            corners = np.where((times > done)[:, None, None], corners / sizes, corners)
        return torch.from_numpy(corners.astype(np.float32))


def check_regions(split: Split, network: str) -> None:
    """Refuse images without regions.

    Raises:
        InputError: one vector an image, or pictures; the message names `network`.
    """
    shape = split.images.shape
    if not isinstance(split.images, Features) or len(shape) != 2:
        raise InputError(
            f"{split.captions_file.parent}: an image of the {split.name} split has shape {list(shape)}; "
            f"{network} needs features of regions, [regions, dimensions] an image: extract region or grid features"
        )


def region_training_data(options: DataOptions, needs_descriptions: bool, network: str) -> TrainingData[Vocabulary]:
    """Train and dev split of a network that reads regions and words, its vocabulary, and description vectors if asked.

    Raises:
        InputError: the images have no regions, or what `open_training_data` finds wrong.
    """
    training = open_training_data(options, needs_descriptions)
    check_regions(training.pairs.split, network)
    return training


def read_boxes(split: Split, stand_in: bool) -> Boxes:
    """The boxes of a split's regions.

    Without a `*_ims_bbx.npy` a regular grid stands in for them if it may, which is said. Boxes all within 0 ... 1 need
    no `*_ims_size.npy`.

    Raises:
        InputError: no boxes and no stand-in, or files that do not fit the features.
    """
    features = split.images
    assert isinstance(features, Features), "see check_regions"
    path = split.captions_file.with_name(f"{split.name}_ims_bbx.npy")
    if not path.exists():
        if not stand_in:
            raise InputError(
                f"{path}: no such file; --graph propagate needs the boxes of the regions, float [images, regions, 4]: "
                "x1 y1 x2 y2 (python -m vse convert writes them) (GSMN can do without: --graph reference)"
            )
        say(f"{path}: no such file; a regular grid stands in for the boxes of the {features.shape[0]} regions")
        corners = grid(features.shape[0])[None].repeat(features.images, axis=0)
        return Boxes(corners, np.ones((features.images, 2), np.float32))
    corners = load_array(path)
    if corners.shape[1:] != (features.shape[0], 4) or corners.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: {list(corners.shape)} {corners.dtype}; expected numbers [images, {features.shape[0]}, 4], a box "
            "x1 y1 x2 y2 for each region of the features"
        )
    corners = _rows(corners, features, path).astype(np.float32)
    if not np.isfinite(corners).all():
        raise InputError(f"{path}: image {int((~np.isfinite(corners)).any((1, 2)).argmax())}: a box is not finite")
    path = path.with_name(f"{split.name}_ims_size.npy")
    if not path.exists() and corners.min() >= 0 and corners.max() <= 1:
        return Boxes(corners, np.ones((len(corners), 2), np.float32))
    return Boxes(corners, _rows(read_sizes(path), features, path))


def grid(regions: int) -> np.ndarray:
    """[regions, 4] boxes, row by row, of the squarest grid that has as many cells or more, in 0 ... 1."""
    columns = int(np.ceil(np.sqrt(regions)))
    rows = -(-regions // columns)
    row, column = np.divmod(np.arange(regions), columns)
    return np.stack([column / columns, row / rows, (column + 1) / columns, (row + 1) / rows], axis=1).astype(np.float32)


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


def _rows(array: np.ndarray, features: Features, path: Path) -> np.ndarray:
    """One row per image in use, of a file with a row per image or per feature row."""
    whole = len(features.array) // features.repeat
    if len(array) not in (whole, len(features.array)):
        raise InputError(f"{path}: {len(array)} rows; expected one for each of the {len(features.array)} feature rows")
    return np.asarray(array[:: len(array) // whole][: features.images])
