"""Pictures for pretrained towers: decoded to uint8, cropped at random to train, normalised later on the device."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from vse.console import say
from vse.data.feature_writer import RowFile
from vse.data.images import FORMATS, LONGEST, RawImages, Transform, open_picture
from vse.errors import InputError
from vse.files import read_bytes, write_atomically
from vse.formats.array_files import read_npy

SPARE = 2
"""A JPEG whose sides are at least twice this many times the wanted ones is decoded at a reduced scale, down to this."""


@dataclass(frozen=True)
class PictureInput:
    """Input of a network: the whole picture resized to a square of `size` pixels and normalised by channel.

    `mean` and `std` are red, green, blue on the scale 0 ... 1.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]

    def squeeze(self, pixels: Tensor) -> Tensor:
        """uint8 [3, h, w] -> uint8 [3, size, size], antialiased."""
        if pixels.shape[1:] == (self.size, self.size):
            return pixels
        from torchvision.transforms.v2 import InterpolationMode  # as in `CropTransform`
        from torchvision.transforms.v2.functional import resize

        return resize(pixels, [self.size, self.size], InterpolationMode(self.interpolation), antialias=True)


@dataclass(frozen=True)
class RandomCrop:
    """Random augmentation in training: a crop of `smallest` ... 1 of the area, and a flip with probability 1/2."""

    smallest: float = 0.6

    def __call__(self, pixels: Tensor, generator: np.random.Generator) -> Tensor:
        """uint8 [3, h, w] -> uint8 [3, h', w'], perhaps mirrored (torchvision's RandomResizedCrop before it resizes).

        The ratio of the sides is log-uniform in 3/4 ... 4/3. Ten boxes are drawn; where none fits, the whole picture
        stays. The generator always gives the same number of random numbers.
        """
        height, width = pixels.shape[1:]
        draws = generator.random((10, 4))
        flip = generator.random() < 0.5
        areas = height * width * (self.smallest + (1 - self.smallest) * draws[:, 0])
        ratios = np.exp(np.log(3 / 4) + (np.log(4 / 3) - np.log(3 / 4)) * draws[:, 1])
        widths, heights = np.rint(np.sqrt(areas * ratios)).astype(int), np.rint(np.sqrt(areas / ratios)).astype(int)
        fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
        if fits.any():
            chosen = int(fits.argmax())
            crop_width, crop_height = int(widths[chosen]), int(heights[chosen])
            left = int(draws[chosen, 2] * (width - crop_width + 1))
            top = int(draws[chosen, 3] * (height - crop_height + 1))
            pixels = pixels[:, top : top + crop_height, left : left + crop_width]
        return pixels.flip(2) if flip else pixels


def read_pixels(path: Path, side: int) -> tuple[Tensor, tuple[int, int]]:
    """Decode a picture to uint8 [3, h, w] and its size (width, height), upright; for a square of `side` pixels.

    Of a picture that is many times larger only a reduced copy is decoded, still at least `SPARE` times the square.

    Raises:
        InputError: missing, damaged, no picture, or longer than 200 times its width.
    """
    from torchvision.io import ImageReadMode, decode_jpeg, read_file  # as in `CropTransform`

    try:
        with Image.open(path, formats=FORMATS) as file:
            turned = file.getexif().get(0x0112, 1) >= 5
            size = (file.height, file.width) if turned else file.size
            plain = file.format == "JPEG" and file.mode in ("RGB", "L") and max(size) <= LONGEST * min(size)
            if plain and min(file.size) >= 2 * SPARE * side:
                file.draft(None, (SPARE * side, SPARE * side))
                return _pixels(ImageOps.exif_transpose(file).convert("RGB")), size
        if plain:
            return decode_jpeg(read_file(str(path)), ImageReadMode.RGB, apply_exif_orientation=True), size
    except Exception:  # decoders raise what they like; open_picture says what is wrong, or can read it after all
        pass
    picture = open_picture(path, upright=True)
    return _pixels(picture), picture.size


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


@dataclass
class TowerPictures(RawImages):
    """The images of a split as uint8 pictures of a tower's size; `vse.data.images.RawImages` for `TowerTransform`."""

    transform: TowerTransform
    cache: np.ndarray | None = None  # [n, side, side, 3] uint8

    @property
    def kind(self) -> str:
        """What is read, for a run record."""
        return "pictures" if self.cache is None else f"pictures cached with {self.cache.shape[1]} pixels a side"

    def read(self, images: np.ndarray, generator: np.random.Generator | None = None) -> Tensor:
        """[b] image indices -> uint8 [b, 3, S, S]; with a generator augmented, each row by its own random numbers.

        Raises:
            InputError: a picture cannot be decoded; the message names it.
        """
        picture_input, crop = self.transform.input, self.transform.crop
        images = np.asarray(images)
        seeds = [None] * len(images) if generator is None else generator.integers(2**63, size=len(images)).tolist()
        # A crop loses pixels, so that a larger picture must be decoded for it.
        side = picture_input.size if generator is None else math.ceil(picture_input.size / math.sqrt(crop.smallest))
        rows = []
        for image, seed in zip(images.tolist(), seeds, strict=True):
            if self.cache is None:
                pixels, _ = read_pixels(self.paths[image], side)
            else:
                pixels = torch.from_numpy(np.array(self.cache[image])).permute(2, 0, 1)
            if seed is not None:
                pixels = crop(pixels, np.random.default_rng(seed))
            rows.append(picture_input.squeeze(pixels))
        return torch.stack(rows)


class TowerTransform(Transform):
    """Pictures as a tower reads them: uint8, because the tower normalises them.

    Args:
        picture_input: what the tower reads.
        crop: augmentation in training.
    """

    def __init__(self, picture_input: PictureInput, crop: RandomCrop = RandomCrop()) -> None:
        self.input, self.crop, self.size = picture_input, crop, picture_input.size

    def __call__(self, picture: Image.Image, generator: np.random.Generator | None = None) -> Tensor:
        """RGB picture -> uint8 [3, size, size]."""
        pixels = _pixels(picture)
        return self.input.squeeze(pixels if generator is None else self.crop(pixels, generator))

    def images(self, paths: list[Path], captions_file: Path) -> TowerPictures:
        """Open the pictures of a split, from the cache that `cache_pictures` made where there is one.

        Raises:
            InputError: the cache is of other pictures, or too small for this tower.
        """
        return TowerPictures(paths, self, _open_cache(paths, _cache_file(captions_file), self.input))


def cache_pictures(paths: Sequence[Path], captions_file: Path, side: int, workers: int = 1) -> Path:
    """Write every picture of a split as uint8 [n, side, side, 3] to `{split}_pixels.npy`: no JPEG is decoded again.

    Each whole picture is squeezed into a square. Random crops are then drawn in the square, and a tower of the same
    size sees what it would see without the cache if it interpolates bicubically.

    Args:
        captions_file: the split's `{split}_caps.txt`; the cache goes beside it.
        workers: threads that decode.

    Returns:
        The file.

    Raises:
        InputError: a picture that cannot be decoded, or a folder that cannot be written; nothing is left behind.
    """
    file = _cache_file(captions_file)
    squeeze = PictureInput(side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bicubic").squeeze
    rows = RowFile(file, (side, side, 3), np.dtype(np.uint8), len(paths))

    def decode(path: Path) -> np.ndarray:
        return squeeze(read_pixels(path, side)[0]).permute(1, 2, 0).numpy()

    try:
        with ThreadPoolExecutor(workers) as pool, tqdm(total=len(paths), unit="picture", disable=None) as bar:
            for first in range(0, len(paths), 256):
                block = list(pool.map(decode, paths[first : first + 256]))
                rows.write(first, np.stack(block))
                bar.update(len(block))
    except BaseException:
        rows.discard()
        raise
    record = {"side": side, "images": len(paths), "pictures": _files(paths)}
    rows.finish()
    write_atomically(file.with_suffix(".json"), lambda out: out.write(json.dumps(record).encode()))
    return file


def _cache_file(captions_file: Path) -> Path:
    return captions_file.with_name(f"{captions_file.name.removesuffix('_caps.txt')}_pixels.npy")


def _files(paths: Sequence[Path]) -> list[list[Any]]:
    """Names and sizes of files, which other pictures would hardly share."""
    return [[path.name, path.stat().st_size] for path in paths]


def _open_cache(paths: list[Path], file: Path, picture_input: PictureInput) -> np.ndarray | None:
    if not file.exists():
        return None
    way_out = f"delete {file.name}, or make it again with python -m vse prepare --resize"
    try:
        record: Any = orjson.loads(read_bytes(file.with_suffix(".json")))
        array = read_npy(file, "r")
        sound = array.shape == (record["images"], record["side"], record["side"], 3) and array.dtype == np.uint8
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise InputError(f"{file}: not the whole cache of pictures that its .json describes; {way_out}")
    if record["pictures"][: len(paths)] != _files(paths):
        raise InputError(f"{file}: made of other pictures than those of the split now; {way_out}")
    if record["side"] < picture_input.size:
        raise InputError(
            f"{file}: pictures of {record['side']} pixels; this tower reads {picture_input.size}, so {way_out}"
        )
    say(f"{file}: pictures come from this cache of {record['side']} x {record['side']} pixels")
    return array
