"""Precomputed image features: memory-mapped, checked, read a batch of images at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vse.console import warn
from vse.data.index import read_ids
from vse.data.sources.entry import LARGEST_VALUE
from vse.data.sources.layout import turned
from vse.errors import InputError
from vse.formats.array_files import read_npy

ENDS = 4096
"""Bytes at the beginning and at the end of a row by which neighbouring rows are compared."""


def open_features(path: Path) -> np.ndarray:
    """Memory-map a feature file: [rows, R, D] regions or [rows, D] global features, float16, float32 or float64.

    Raises:
        InputError: not a whole .npy file, another rank or dtype, Fortran order, or no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such feature file; docs/data.md says what a data set folder holds")
    try:
        features = read_npy(path, "r")
    except (ValueError, OSError) as problem:
        raise InputError(
            f"{path}: {problem}; expected float features as numpy.save writes them (python -m vse convert reads other "
            "forms)"
        ) from None
    shape = features.shape
    if features.ndim not in (2, 3):
        raise InputError(f"{path}: shape {shape}; expected [images, regions, dimensions] or [images, dimensions]")
    if features.dtype.kind != "f" or features.dtype.itemsize > 8 or not features.dtype.isnative:
        raise InputError(
            f"{path}: dtype {features.dtype.name}{'' if features.dtype.isnative else ' of the other byte order'}; "
            "expected float32 or float16, convert it with features.astype(numpy.float32)"
        )
    if 0 in shape:
        raise InputError(f"{path}: shape {shape} holds no features; make the file again")
    if not features.flags.c_contiguous:
        raise InputError(f"{path}: Fortran order; save numpy.ascontiguousarray(features) so that an image is one block")
    if features.ndim == 3 and turned(shape[1:]):
        warn(
            f"{path}: {shape[1]} regions of {shape[2]} dimensions look like the reverse; python -m vse convert mends it"
        )
    return features


def open_lengths(path: Path, rows: int, regions: int) -> np.ndarray | None:
    """Read `{split}_ims_len.npy`, [rows] int64: how many regions each row has, the rest is zero.

    None if the file is absent, or if every row has all regions.

    Raises:
        InputError: another form, or numbers that do not fit the features.
    """
    if not path.is_file():
        return None
    try:
        lengths = read_npy(path)
    except (ValueError, OSError):
        raise InputError(f"{path}: not a whole .npy file of numbers; convert the features again") from None
    fits = lengths.shape == (rows,) and lengths.dtype.kind in "iu"
    if not fits or lengths.min() < 1 or lengths.max() > regions:
        raise InputError(
            f"{path}: does not give each of {rows} images a number of regions from 1 to {regions}; convert the "
            "features again"
        )
    return None if (lengths == regions).all() else lengths.astype(np.int64)


def rows_per_image(features: np.ndarray, captions: int, path: Path) -> int:
    """Feature rows that stand for one image: 1, or k where a file repeats every image once per caption.

    A file with as many rows as captions is either of the second kind (the original code's `im_div` of 1 with 5 captions
    an image) or a set with one caption an image. All rows decide: images repeat k times if k divides every run of equal
    neighbours. Where some neighbours are equal but do not repeat evenly, `{split}_ids.txt` with an id for each row
    decides, by equal neighbouring ids.

    Raises:
        InputError: the captions are not a multiple of the rows, or rows repeat unevenly and no ids say why.
    """
    rows = len(features)
    if captions % rows:
        raise InputError(
            f"{path}: {rows} rows do not divide the {captions} captions beside it; expected one row per image with "
            "equally many captions each, or one row per caption; check that both files are of one split"
        )
    if rows != captions or rows == 1:
        return 1
    ids_file = path.with_name(f"{path.name.removesuffix('_ims.npy')}_ids.txt")
    ids = read_ids(ids_file) if ids_file.is_file() else np.empty(0)
    equal = ids[1:] == ids[:-1] if len(ids) == rows else equal_neighbours(features)
    if not equal.any():
        return 1
    runs = np.diff(np.flatnonzero(np.concatenate([[True], ~equal, [True]])))
    repeat = int(np.gcd.reduce(runs))
    if repeat == 1 or len(runs) == 1:
        row = int(equal.argmax())
        raise InputError(
            f"{path}: rows {row} and {row + 1} are equal, as are {int(equal.sum())} of {rows - 1} neighbours, but "
            f"images do not repeat equally often; write {ids_file.name}, an id a row, the same for rows of one image"
        )
    return repeat


def equal_neighbours(features: np.ndarray) -> np.ndarray:
    """Compare each row with the next one -> [rows - 1] bool.

    Of rows longer than twice ENDS bytes both ends are compared.
    """
    flat = features.reshape(len(features), -1)
    count = ENDS // flat.itemsize
    parts = [flat] if flat.shape[1] <= 2 * count else [flat[:, :count], flat[:, -count:]]
    equal = np.ones(len(flat) - 1, dtype=bool)
    block = 4096
    for first in range(0, len(equal), block):
        for part in parts:
            some = np.ascontiguousarray(part[first : first + block + 1]).view(np.uint8)
            equal[first : first + block] &= (some[1:] == some[:-1]).all(axis=1)
    return equal


@dataclass
class Features:
    """The images of a split as memory-mapped features.

    `array` is [images * repeat, R, D] or [images * repeat, D]; image i is row i * repeat. `{split}_ims_len.npy` beside
    it holds the number of regions of each row, if they differ.

    Raises:
        InputError: those numbers do not fit the features.
    """

    path: Path
    array: np.ndarray
    repeat: int = 1
    count: int = 0
    """Images in use, at most all of the file's."""
    padded: np.ndarray | None = field(init=False, default=None)
    """[images * repeat] int64: regions of each row, where they differ; the rest of a row is padding, all zero."""

    def __post_init__(self) -> None:
        self.count = self.count or len(self.array) // self.repeat
        if self.array.ndim == 3:
            self.padded = open_lengths(
                self.path.with_name(f"{self.path.stem}_len.npy"), len(self.array), self.array.shape[1]
            )

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (R, D) or (D,)."""
        return self.array.shape[1:]

    @property
    def lengths(self) -> np.ndarray | None:
        """[images] int64: regions of each image, the first ones of R; None where every image has R."""
        return None if self.padded is None else self.padded[: self.count * self.repeat : self.repeat]

    def read(self, images: np.ndarray, generator: np.random.Generator | None = None) -> Tensor:
        """[b] image indices -> [b, R, D] or [b, D]; precomputed features have no augmentation.

        Returns:
            float16 as in the file, which halves what a GPU is sent, else float32.

        Raises:
            InputError: a value that no features have, NaN, infinite or beyond LARGEST_VALUE, with its row.
        """
        rows = np.asarray(images) * self.repeat
        stored = torch.from_numpy(self.array[rows])
        block = stored.float()
        if not block.sum().abs() <= LARGEST_VALUE * max(1, block.numel()):  # one pass; NaN fails as well
            largest = block.flatten(1).abs().amax(1)  # NaN and infinity survive the maximum
            broken = ~(largest <= LARGEST_VALUE)
            if broken.any():
                place = int(broken.nonzero()[0])
                what = "NaN or infinity" if not largest[place].isfinite() else f"values up to {float(largest[place]):g}"
                raise InputError(
                    f"{self.path}: row {int(rows[place])} holds {what}; extract the features of that image again"
                )
        return stored if stored.dtype == torch.float16 else block

    def resident(self, device: torch.device) -> Tensor:
        """Copy all images in use to `device`, in the file's precision, for `--features_on_device`.

        Raises:
            InputError: as `read` does.
        """
        for first in range(0, self.count, 1024):
            self.read(np.arange(first, min(first + 1024, self.count)))
        return torch.tensor(self.array[: self.count * self.repeat : self.repeat], device=device)


FAULTS = {
    "not_finite": ("rows with NaN or infinity", "extract the features of those images again"),
    "zero": ("all-zero rows", "the extraction failed for those images, run it again or leave the images out"),
    "large": (f"rows with values beyond {LARGEST_VALUE:g}", "their precision was mistaken, or they are damaged"),
    "padding": ("rows with values after their last region", "convert the features again"),
}
"""What can be wrong with a row, and what to do about it."""


def row_faults(features: Features, first: int, block: np.ndarray) -> dict[str, np.ndarray]:
    """Look at the rows `first` ... of a file, read as `block` [k, ...] -> each of FAULTS: the rows that have it [k]."""
    largest = np.abs(block.reshape(len(block), -1).astype(np.float32, copy=False)).max(axis=1)  # NaN survives
    padding = np.zeros(len(block), dtype=bool)
    if features.padded is not None:
        beyond = np.arange(block.shape[1]) >= features.padded[first : first + len(block), None]
        padding |= (block.any(axis=2) & beyond).any(axis=1)
    return {
        "not_finite": ~np.isfinite(largest),
        "zero": largest == 0,
        "large": np.isfinite(largest) & (largest > LARGEST_VALUE),
        "padding": padding,
    }


def check_img_dim(img_dim: int | None, shape: tuple[int, ...], path: Path) -> None:
    """`--img_dim` never sizes anything; given, it must be the file's D (or R * D, flattened).

    Raises:
        InputError: it contradicts the file.
    """
    if img_dim is not None and img_dim not in (shape[-1], int(np.prod(shape))):
        raise InputError(
            f"{path}: features of shape {list(shape)} an image contradict --img_dim {img_dim}; drop the flag"
        )
