"""Boxes of the regions of a split's images, and the images' sizes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vse.console import say
from vse.data.datasets import Split
from vse.data.features import Features
from vse.data.sources.boxes import outside, relative
from vse.errors import InputError
from vse.published.sizes import load_array, read_sizes

MOST_OUTSIDE = 0.01
"""Share of boxes outside their images above which boxes and sizes do not belong together."""


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


def read_boxes(split: Split, stand_in: bool) -> Boxes:
    """Read the boxes of a split's regions.

    Without a `*_ims_bbx.npy` a regular grid is used if `stand_in` is set, and announced. Boxes all within 0 ... 1 need
    no `*_ims_size.npy`.

    Raises:
        InputError: no boxes and no stand-in, or files that do not fit the features.
    """
    features = split.images
    if not isinstance(features, Features):
        raise InputError(f"{split.file('ims_bbx.npy')}: boxes of regions; expected features, the split has pictures")
    path = split.file("ims_bbx.npy")
    if not path.exists():
        if not stand_in:
            raise InputError(
                f"{path}: no such file; --graph propagate needs the boxes of the regions, float [images, regions, 4]: "
                "x1 y1 x2 y2 (python -m vse convert writes them) (GSMN can do without: --graph reference)"
            )
        say(f"{path}: no such file; using a regular grid as the boxes of the {features.shape[0]} regions")
        corners = grid(features.shape[0])[None].repeat(len(features), axis=0)
        return Boxes(corners, np.ones((len(features), 2), np.float32))
    corners = load_array(path)
    if corners.shape[1:] != (features.shape[0], 4) or corners.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: {list(corners.shape)} {corners.dtype}; expected numbers [images, {features.shape[0]}, 4], a box "
            "x1 y1 x2 y2 for each region of the features"
        )
    corners = _rows(corners, features, path).astype(np.float32)
    if not np.isfinite(corners).all():
        image = int((~np.isfinite(corners)).any((1, 2)).argmax())
        raise InputError(f"{path}: image {image}: a box holds NaN or infinity; convert its boxes again")
    path = split.file("ims_size.npy")
    if relative(corners):
        if path.exists():
            say(f"{path}: not used, because the boxes lie within 0 ... 1 already")
        return Boxes(corners, np.ones((len(corners), 2), np.float32))
    sizes = _rows(read_sizes(path), features, path)
    wrong = outside(corners, sizes[:, None])
    if wrong.mean() > MOST_OUTSIDE:
        raise InputError(
            f"{path}: {wrong.mean():.0%} of the boxes lie outside images of these sizes, first those of image "
            f"{int(wrong.any(axis=1).argmax())}; expected boxes x1 y1 x2 y2 and sizes width, height of the same images"
        )
    return Boxes(corners, sizes)


def grid(regions: int) -> np.ndarray:
    """[regions, 4] boxes, row by row, of the squarest grid that has as many cells or more, in 0 ... 1."""
    columns = int(np.ceil(np.sqrt(regions)))
    rows = -(-regions // columns)
    row, column = np.divmod(np.arange(regions), columns)
    return np.stack([column / columns, row / rows, (column + 1) / columns, (row + 1) / rows], axis=1).astype(np.float32)


def _rows(array: np.ndarray, features: Features, path: Path) -> np.ndarray:
    """One row per image in use, of a file with a row per image or per feature row."""
    whole = len(features.array) // features.repeat
    if len(array) not in (whole, len(features.array)):
        raise InputError(f"{path}: {len(array)} rows; expected one for each of the {len(features.array)} feature rows")
    return np.asarray(array[:: len(array) // whole][: len(features)])
