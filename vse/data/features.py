"""Precomputed image features: memory-mapped, checked, read a batch of images at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError


def open_features(path: Path) -> np.ndarray:
    """Memory-map a feature file: [rows, R, D] regions or [rows, D] global features, float16, float32 or float64.

    Raises:
        InputError: not a whole .npy file, another rank or dtype, Fortran order, or no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such feature file; data/README.md says what a data set folder holds")
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        reason = (
            "it holds Python objects"
            if "Python objects" in str(problem) or "Object arrays" in str(problem)
            else "it is truncated or not a .npy file"
        )
        raise InputError(f"{path}: {reason}; expected float features as numpy.save writes them") from None
    shape = features.shape
    if features.ndim not in (2, 3):
        raise InputError(f"{path}: shape {shape}; expected [images, regions, dimensions] or [images, dimensions]")
    if features.dtype.kind != "f":
        raise InputError(f"{path}: dtype {features.dtype}; expected float32 or float16, convert it with numpy.astype")
    if 0 in shape:
        raise InputError(f"{path}: shape {shape} holds no features; make the file again")
    if not features.flags.c_contiguous:
        raise InputError(f"{path}: Fortran order; save numpy.ascontiguousarray(features) so that an image is one block")
    return features


def rows_per_image(features: np.ndarray, captions: int, path: Path) -> int:
    """Feature rows that stand for one image: 1, or k where a file repeats every image once per caption.

    A file with as many rows as captions is either of the second kind (the published `im_div` of 1 with 5 captions an
    image) or a set with one caption an image; equal neighbouring rows tell which.

    Raises:
        InputError: the captions are not a multiple of the rows, or rows repeat unevenly.
    """
    rows = len(features)
    if captions % rows:
        raise InputError(
            f"{path}: {rows} rows do not divide the {captions} captions beside it; expected one row per image with "
            "equally many captions each, or one row per caption; check that both files are of one split"
        )
    if rows != captions or rows == 1:
        return 1
    run = 1
    while run < rows and np.array_equal(features[run], features[0]):
        run += 1
    if run == 1:
        return 1
    sampled = np.unique(np.linspace(0, rows // run - 1, 64).astype(int)) * run if rows % run == 0 else [0]
    even = rows % run == 0 and all(
        all(np.array_equal(features[first], features[first + k]) for k in range(1, run)) for first in sampled
    )
    if not even:
        raise InputError(
            f"{path}: the first image fills {run} rows, others do not; expected every image equally often; "
            "keep one row per image"
        )
    return run


@dataclass
class Features:
    """The images of a split as memory-mapped features.

    `array` is [images * repeat, R, D] or [images * repeat, D]; image i is row i * repeat.
    """

    path: Path
    array: np.ndarray
    repeat: int = 1
    count: int = 0  # images in use, at most all of the file's

    def __post_init__(self) -> None:
        self.count = self.count or len(self.array) // self.repeat

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (R, D) or (D,)."""
        return self.array.shape[1:]

    def read(self, images: np.ndarray, generator: np.random.Generator | None = None) -> Tensor:
        """[b] image indices -> float32 [b, R, D] or [b, D]; precomputed features have no augmentation.

        Raises:
            InputError: a NaN or infinite value, with its row.
        """
        rows = np.asarray(images) * self.repeat
        block = torch.from_numpy(self.array[rows]).float()
        if not torch.isfinite(block.sum()) and not torch.isfinite(block).all():
            broken = int(rows[int((~torch.isfinite(block.flatten(1)).all(1)).nonzero()[0])])
            raise InputError(
                f"{self.path}: row {broken} holds NaN or infinity; extract the features of that image again"
            )
        return block

    def resident(self, device: torch.device) -> Tensor:
        """All images in use on `device`, in the file's precision, for `--features_on_device`."""
        return torch.from_numpy(np.ascontiguousarray(self.array[: self.count * self.repeat : self.repeat])).to(device)


def check_img_dim(img_dim: int | None, shape: tuple[int, ...], path: Path) -> None:
    """`--img_dim` never sizes anything; given, it must be the file's D (or R * D, flattened).

    Raises:
        InputError: it contradicts the file.
    """
    if img_dim is not None and img_dim not in (shape[-1], int(np.prod(shape))):
        raise InputError(
            f"{path}: features of shape {list(shape)} an image contradict --img_dim {img_dim}; drop the flag"
        )
