"""Raw pictures as network input: decoding, the published transforms, splits whose images are pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from vse.console import warn
from vse.data.datasets import Split, open_split
from vse.data.index import folder_pictures, holds_pictures
from vse.data.pictures import Pictures, first_of
from vse.errors import InputError
from vse.files import open_regular

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""What is decoded; Pillow would start other programs for some further formats."""

LONGEST = 200
"""Largest ratio of a picture's sides: the published resizing to 256 would make a longer strip enormous."""

SKIP = "with --skip_broken of training, features or index"
"""How messages say that pictures can be left out; other commands have no such flag."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)

DETECTOR_MEAN = (102.9801, 115.9465, 122.7717)  # blue, green, red, on the 0-255 scale of Caffe's networks


class Transform:
    """Picture -> network input; with a generator the random augmentation of training, without it evaluation."""

    size: int
    """Side of the square that evaluation gives."""

    def __call__(self, picture: Image.Image, generator: np.random.Generator | None = None) -> Tensor:
        """RGB picture -> float32 [3, S, S]."""
        raise NotImplementedError

    def images(self, paths: list[Path], captions_file: Path) -> RawImages:
        """Give the pictures of the split that `{split}_caps.txt` belongs to."""
        return RawImages(paths, self)


class CropTransform(Transform):
    """VSE++'s: in training, a random resized crop and flip; else a centre crop of 224 from a short side of 256."""

    size = 224

    def __init__(self, crop_size: int = 224) -> None:
        self.crop_size = crop_size

    @cached_property
    def _steps(self) -> tuple[Callable[[Image.Image], Tensor], Callable[[Image.Image], Tensor]]:
        """The transforms of training and of evaluation."""
        from torchvision import transforms  # takes a second to import, and most runs read no pictures

        normalise = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        augmentation = [transforms.RandomResizedCrop(self.crop_size), transforms.RandomHorizontalFlip()]
        return (
            transforms.Compose([*augmentation, *normalise]),
            transforms.Compose([transforms.Resize(256), transforms.CenterCrop(self.size), *normalise]),
        )

    def __call__(self, picture: Image.Image, generator: np.random.Generator | None = None) -> Tensor:
        """RGB picture -> float32 [3, crop_size, crop_size] to train, [3, 224, 224] to evaluate."""
        train, evaluate = self._steps
        if generator is None:
            return evaluate(picture)
        with _torch_seed(int(generator.integers(2**63))):  # torchvision draws from torch's global generator
            return train(picture)


@contextmanager
def _torch_seed(seed: int) -> Iterator[None]:
    state = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)  # the CPU's only: torch.manual_seed would reseed a GPU as well
        yield
    finally:
        torch.set_rng_state(state)


class SquareTransform(Transform):
    """VSE-infinity's: the whole picture resized to a square; in training, a random crop of equal shape and a flip.

    The ratio of the crop is uniform in [0.6, 1), the same for both sides; interpolation is bilinear without
    antialiasing, as OpenCV's. The random numbers are drawn in the published order: ratio, x, y, flip.

    Args:
        source: `detector` weights want blue-green-red values less the Caffe mean, all others ImageNet's normalisation.
        input_scale_factor: the side is int(256 * factor).
    """

    def __init__(self, source: str = "detector", input_scale_factor: float = 1.0) -> None:
        self.size = int(256 * input_scale_factor)
        self.detector = "detector" in source

    def __call__(self, picture: Image.Image, generator: np.random.Generator | None = None) -> Tensor:
        """RGB picture -> float32 [3, S, S]."""
        pixels = np.asarray(picture)
        flip = False
        if generator is not None:
            height, width = pixels.shape[:2]
            ratio = 0.6 + 0.4 * generator.random()
            crop_height, crop_width = max(1, int(height * ratio)), max(1, int(width * ratio))
            left = int(generator.integers(width - crop_width)) if width > crop_width else 0
            top = int(generator.integers(height - crop_height)) if height > crop_height else 0
            pixels = pixels[top : top + crop_height, left : left + crop_width]
            flip = generator.random() > 0.5
        image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()
        image = interpolate(image[None], (self.size, self.size), mode="bilinear", align_corners=False)[0]
        if flip:
            image = image.flip(2)
        if self.detector:
            return image.flip(0) - torch.tensor(DETECTOR_MEAN)[:, None, None]
        return (image / 255 - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]


def open_picture(path: Path, upright: bool = False) -> Image.Image:
    """Decode a picture to 8-bit RGB, whatever it was: grey, 16-bit, palette, CMYK; of an animation the first frame.

    Transparency is dropped, and a camera's note of how it was held is ignored (as published) unless `upright` is set.

    Raises:
        InputError: missing, damaged, no picture, or longer than 200 times its width.
    """
    try:
        with open_regular(path) as content, Image.open(content, formats=FORMATS) as file:
            picture = _rgb(ImageOps.exif_transpose(file) if upright else file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such picture; complete the folder, or leave it out {SKIP}") from None
    except Exception as problem:  # decoders raise what they like
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        if isinstance(problem, UnidentifiedImageError):  # Pillow's own reason quotes a Python object
            reason = f"its content is none of {', '.join(FORMATS)}"
        raise InputError(
            f"{path}: cannot be decoded ({reason.replace(str(path), 'it')}); replace the file, or leave it out {SKIP}"
        ) from None
    if max(picture.size) > LONGEST * min(picture.size):
        raise InputError(
            f"{path}: {picture.width} x {picture.height} pixels is a strip, no picture; leave it out {SKIP}"
        )
    return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits: Pillow's own conversion would cut, not scale
        values = np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose scale nothing tells")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def load(path: Path, transform: Transform, generator: np.random.Generator | None = None) -> Tensor:
    """Load a picture as network input, float32 [3, S, S]; augment it when a generator is given.

    Raises:
        InputError: the picture cannot be decoded; the message names it.
    """
    return transform(open_picture(path), generator)


def find_broken(paths: Sequence[Path]) -> list[int]:
    """Places of the pictures that cannot be decoded; all are read, JPEGs decoded at an eighth of their size."""

    def broken(path: Path) -> bool:
        try:
            with Image.open(path, formats=FORMATS) as file:
                strip = max(file.size) > LONGEST * min(file.size)
                file.draft("RGB", (1, 1))
                _rgb(file)
                return strip
        except Exception:  # see open_picture
            return True

    with ThreadPoolExecutor() as pool:
        return [place for place, bad in enumerate(pool.map(broken, paths)) if bad]


@dataclass
class RawImages:
    """The images of a split as pictures that are decoded when they are read (`vse.data.datasets.Images`)."""

    paths: list[Path]
    transform: Transform

    @property
    def kind(self) -> str:
        """What is read, for a run record."""
        return "pictures"

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image in evaluation: (3, S, S)."""
        return (3, self.transform.size, self.transform.size)

    def read(self, images: np.ndarray, generator: np.random.Generator | None = None) -> Tensor:
        """[b] image indices -> float32 [b, 3, S, S]; with a generator augmented, each row by random numbers of its own.

        Raises:
            InputError: a picture cannot be decoded; the message names it.
        """
        seeds = [None] * len(images) if generator is None else generator.integers(2**63, size=len(images)).tolist()
        rows = [
            load(self.paths[image], self.transform, None if seed is None else np.random.default_rng(seed))
            for image, seed in zip(np.asarray(images).tolist(), seeds, strict=True)
        ]
        return torch.stack(rows)


def open_pictures(
    folder: Path,
    name: str,
    transform: Transform,
    first_images: int | None = None,
    use_restval: bool = False,
    skip_broken: bool = False,
) -> Split:
    """Open a split whose images are pictures: `vse.data.datasets.open_split` for training on pictures.

    The folder is a data set folder with ids and `id_mapping.json` (see `vse.data.index.folder_pictures`); raw public
    sets become one by `vse.data.preparing.index_raw_set`.

    Args:
        first_images: keep only so many images with their captions; smaller splits stay whole.
        use_restval: add MS-COCO's restval images to train.
        skip_broken: decode every picture once before the start; leave those that fail out, with their captions, and
            name them.

    Raises:
        InputError: files missing or not belonging together, or a picture that is not there.
    """
    if use_restval and name == "train":
        name = "trainrestval"
    splits = folder_pictures(folder)
    if name not in splits:
        raise InputError(f"{folder / f'{name}_caps.txt'}: no such file; the folder has the splits {', '.join(splits)}")
    pictures = splits[name]
    lines = None
    if skip_broken:
        sound = find_sound(pictures)
        lines = np.flatnonzero(sound[pictures.caption_image])
        pictures = pictures.keep(sound)
    else:
        require_pictures(pictures)
    captions, caption_image, paths = pictures.captions, pictures.caption_image, pictures.paths
    if first_images is not None and first_images < len(paths):
        kept = int(np.searchsorted(caption_image, first_images))
        captions, caption_image, paths = captions[:kept], caption_image[:kept], paths[:first_images]
        lines = None if lines is None else lines[:kept]
    captions_file = folder / f"{name}_caps.txt"
    return Split(name, captions_file, captions, transform.images(paths, captions_file), caption_image, lines)


def picture_splits(transform: Transform, use_restval: bool = False, skip_broken: bool = False) -> Callable[..., Split]:
    """`open_pictures` with the arguments of `vse.data.datasets.open_split`: (folder, split, img_dim, first_images)."""

    def open_named_split(folder: Path, name: str, img_dim: int | None = None, first_images: int | None = None) -> Split:
        if img_dim is not None:
            raise InputError(
                "--img_dim is the size of precomputed features; leave it out, this data set holds pictures"
            )
        return open_pictures(folder, name, transform, first_images, use_restval, skip_broken)

    return open_named_split


def features_or_pictures(
    transform: Transform, use_restval: bool = False, skip_broken: bool = False
) -> Callable[..., Split]:
    """`open_split` for a data set with precomputed features, `open_pictures` for one that holds pictures alone."""
    open_as_pictures = picture_splits(transform, use_restval, skip_broken)

    def open_named_split(folder: Path, name: str, img_dim: int | None = None, first_images: int | None = None) -> Split:
        pictures = not any(folder.glob("*_ims.npy")) and holds_pictures(folder)
        return (open_as_pictures if pictures else open_split)(folder, name, img_dim, first_images)

    return open_named_split


def require_pictures(pictures: Pictures) -> None:
    """Every picture file is there; whether it can be decoded shows when it is read.

    Raises:
        InputError: how many are not, and the first of them.
    """
    missing = [path for path in pictures.paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{missing[0]}: no such picture, and {len(missing) - 1} more of {len(pictures.names)} are missing; "
            f"complete the folder, or leave them out {SKIP}"
        )


def find_sound(pictures: Pictures) -> np.ndarray:
    """Decode every picture -> [n] bool, which can be; name those that cannot.

    Raises:
        InputError: none can.
    """
    broken = find_broken(pictures.paths)
    sound = np.ones(len(pictures.names), dtype=bool)
    sound[broken] = False
    if not sound.any():
        raise InputError(
            f"{pictures.folder}: none of {len(broken)} pictures can be decoded; give the folder they are in"
        )
    if broken:
        names = [pictures.names[place] for place in broken]
        warn(
            f"{pictures.folder}: {len(broken)} of {len(sound)} pictures left out with their captions, they cannot be "
            f"decoded: {first_of(names)}"
        )
    return sound
