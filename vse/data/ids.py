"""The image of each caption of a split, and their ids; neither features nor pictures are opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vse.data.datasets import locate_data_set
from vse.data.features import open_features, rows_per_image
from vse.data.index import read_ids
from vse.errors import InputError
from vse.files import read_text
from vse.formats.array_files import read_npy
from vse.text.captions import read_captions


@dataclass(frozen=True)
class SplitIds:
    """The captions and ids of one split, which suffice to evaluate another program's scores."""

    name: str
    folder: Path | None  # None where the split is known by files of ids alone
    caption_image: np.ndarray  # [M] int64, row of the image that each caption describes
    images: int  # N, images without captions included
    captions: list[str] | None = None  # M
    image_ids: np.ndarray | None = None  # [N] int64
    caption_ids: np.ndarray | None = None  # [M] int64

    @property
    def title(self) -> str:
        """`f8k_precomp test`."""
        return self.name if self.folder is None else f"{self.folder.name} {self.name}"


def find_folder(data: str) -> Path:
    """Find the data set folder that `--data` names: a folder, or the name of a data set under the repository's data/.

    The name may follow the folder that holds the data set: `FOLDER/f8k` finds `FOLDER/f8k_precomp`.

    Raises:
        InputError: there is none.
    """
    path = Path(data)
    if path.is_dir():
        return locate_data_set(path, None)
    return locate_data_set(path.parent if len(path.parts) > 1 else None, path.name)


def open_split_ids(folder: Path, name: str, images: int | None = None) -> SplitIds:
    """Read the captions of a split, whose they are, and the ids of images and captions where the folder has them.

    Captions belong to images as `{name}_caption_image.npy` says. Without this file, a `{name}_ids.txt` of one line a
    caption gives neighbours with one id to one image. Otherwise every image has equally many captions.

    Args:
        images: number of images if known, such as the rows of a score matrix; default: the lines of `{name}_ids.txt`
            or `{name}_names.txt`, or the rows of `{name}_ims.npy`.

    Raises:
        InputError: a file is missing or damaged, or the files do not belong together.
    """
    captions_file = folder / f"{name}_caps.txt"
    if not captions_file.is_file():
        splits = sorted(path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt"))
        raise InputError(f"{captions_file}: no such file; the folder has the splits {', '.join(splits) or 'none'}")
    captions = read_captions(captions_file)
    ids = read_ids(folder / f"{name}_ids.txt") if (folder / f"{name}_ids.txt").is_file() else None
    caption_ids_file = folder / f"{name}_cap_ids.txt"
    caption_ids = read_ids(caption_ids_file) if caption_ids_file.is_file() else None
    if caption_ids is not None and len(caption_ids) != len(captions):
        raise InputError(f"{caption_ids_file}: {len(caption_ids)} ids for {len(captions)} captions; expected one each")
    owner_file = folder / f"{name}_caption_image.npy"
    counted = _count_images(folder, name, len(captions), ids)
    if counted is None and images is None:
        raise InputError(f"{folder}: nothing tells the number of images of {name}; expected {name}_ids.txt in it")
    if counted is not None and images is not None and counted != images:
        raise InputError(
            f"{images} images (rows), but the {name} split of {folder} has {counted} images and {len(captions)} "
            "captions; give the scores of this split with one row an image, or name another with --data and --split"
        )
    images = images or counted or 0
    if owner_file.is_file():
        caption_image = read_caption_image(owner_file, images, len(captions))
    else:
        caption_image = caption_image_of_ids(ids, images, len(captions), captions_file)
    image_ids = None if ids is None else ids_by_image(ids, caption_image, images, folder / f"{name}_ids.txt")
    return SplitIds(name, folder, caption_image, images, captions, image_ids, caption_ids)


def even_split(images: int, captions: int, source: str) -> np.ndarray:
    """[captions] image of each caption, equally many captions in a row for each image.

    Raises:
        InputError: the numbers do not divide; `source` opens the sentence.
    """
    if images < 1 or captions % images:
        raise InputError(
            f"{source}: {images} images do not divide {captions} captions; where images differ in their number of "
            f"captions, give the image of each caption ({{split}}_caption_image.npy or --caption_image)"
        )
    return np.repeat(np.arange(images), captions // images)


def caption_image_of_ids(ids: np.ndarray | None, images: int, captions: int, source: Path | str) -> np.ndarray:
    """Return the image of each caption [captions]: by runs of equal ids if there is one a caption, else evenly.

    Raises:
        InputError: the ids are of another number of images, or the numbers do not divide.
    """
    if ids is None or len(ids) != captions:
        return even_split(images, captions, str(source))
    runs = int(1 + np.count_nonzero(np.diff(ids)))
    if runs != images:
        raise InputError(f"{source}: the ids of {captions} captions are of {runs} images, not {images}")
    return np.concatenate([[0], np.cumsum(np.diff(ids) != 0)])


def ids_by_image(ids: np.ndarray, caption_image: np.ndarray, images: int, source: Path | str) -> np.ndarray:
    """Return the id of each image [images], from one id an image or one a caption.

    Raises:
        InputError: neither, or captions of one image have different ids.
    """
    if len(ids) == images:
        return ids
    if len(ids) != len(caption_image):
        raise InputError(
            f"{source}: {len(ids)} ids for {images} images and {len(caption_image)} captions; expected one an image"
        )
    by_image = np.zeros(images, dtype=np.int64)
    by_image[caption_image] = ids
    if len(np.unique(caption_image)) < images or (by_image[caption_image] != ids).any():
        raise InputError(f"{source}: captions of one image have different ids; expected one id an image")
    return by_image


def read_caption_image(path: Path, images: int, captions: int) -> np.ndarray:
    """Read the row of the image that each caption describes, from a `.npy` file or integers, one a line -> [captions].

    Raises:
        InputError: not readable, not an integer for each caption, or an image that there is not.
    """
    if path.suffix == ".npy":
        try:
            owner = read_npy(path)
        except (OSError, ValueError) as problem:
            raise InputError(f"{path}: not a readable .npy file ({problem}); expected integers [captions]") from None
    else:
        owner = read_ids(path)
    if owner.ndim != 1 or owner.dtype.kind not in "iu" or len(owner) != captions:
        raise InputError(
            f"{path}: {owner.dtype} of shape {list(owner.shape)}; expected the image of each of the {captions} captions"
        )
    wrong = np.flatnonzero((owner < 0) | (owner >= images))
    if len(wrong):
        raise InputError(
            f"{path}: {len(wrong)} of {captions} captions belong to an image outside 0 ... {images - 1}, first caption "
            f"{wrong[0]} to image {owner[wrong[0]]}; rows count from 0"
        )
    return owner.astype(np.int64)


def _count_images(folder: Path, name: str, captions: int, ids: np.ndarray | None) -> int | None:
    """Count the images of a split by the files beside its captions; None where they don't tell."""
    if ids is not None and len(ids) != captions:
        return len(ids)
    if ids is not None:
        return int(1 + np.count_nonzero(np.diff(ids)))  # an id line for each caption, or one caption an image
    features, names = folder / f"{name}_ims.npy", folder / f"{name}_names.txt"
    if features.is_file():
        array = open_features(features)
        return len(array) // rows_per_image(array, captions, features)
    if names.is_file():
        return len(read_text(names, encoding="utf-8", errors="replace").splitlines())
    return None
