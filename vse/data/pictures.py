"""Pictures and their captions as a source lists them, and what all sources share: splits, names, folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from vse.console import warn
from vse.errors import InputError
from vse.files import read_json

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
    "testall": "testall",
    "restval": "restval",
}
"""Split names of the sources -> ours; the Karpathy files say `val` where precomputed features say `dev`."""

PICTURE_FOLDERS = (
    "images",
    "flickr30k-images",
    "flickr30k_images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "Images",
)
"""Where the public distributions unpack their pictures."""

PLACE = "pictures.json"

NAMED = 10
"""Most names that a message lists."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split and their captions, as a source lists them; no picture is opened.

    The captions of an image are consecutive, and images are in the order of their captions. If a source has only ids,
    the names are the ids.
    """

    folder: Path
    names: list[str]  # n file names, relative to `folder`
    ids: np.ndarray  # [n] int64, the source's own ids
    captions: list[str]  # M
    caption_image: np.ndarray  # [M] int64
    caption_ids: np.ndarray | None = None  # [M] int64, the source's own ids of captions
    sources: tuple[Path, ...] = ()
    """Files that the split was read from."""
    by: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that decided what it holds, by their names on the command line."""

    @property
    def paths(self) -> list[Path]:
        """Picture files, one an image."""
        return [self.folder / name for name in self.names]

    @property
    def named(self) -> bool:
        """Whether the source tells file names, not only ids."""
        return self.names != [str(image_id) for image_id in self.ids.tolist()]

    @property
    def even(self) -> bool:
        """Whether every image has as many captions as the next."""
        return len(np.unique(self.captions_per_image)) == 1

    @property
    def captions_per_image(self) -> np.ndarray:
        """Number of captions of each image, [n] int64."""
        return np.bincount(self.caption_image, minlength=len(self.names))

    @property
    def digest(self) -> str:
        """SHA-256 of names, captions and ids, hexadecimal."""
        content = json.dumps([self.names, self.captions, self.ids.tolist()])
        return hashlib.sha256(content.encode()).hexdigest()

    def keep(self, wanted: np.ndarray) -> Pictures:
        """Keep the images where `wanted` [n] is true, with their captions."""
        kept = self._keep_captions(wanted[self.caption_image])
        return replace(
            kept,
            names=[name for name, chosen in zip(self.names, wanted, strict=True) if chosen],
            ids=self.ids[wanted],
            caption_image=(np.cumsum(wanted) - 1)[kept.caption_image],
        )

    def keep_captions(self, per_image: int) -> Pictures:
        """Keep the first `per_image` captions of each image that has so many; leave out other images."""
        enough = self.keep(self.captions_per_image >= per_image)
        first = np.searchsorted(enough.caption_image, enough.caption_image)
        return enough._keep_captions(np.arange(len(first)) - first < per_image)

    def _keep_captions(self, wanted: np.ndarray) -> Pictures:
        return replace(
            self,
            captions=[caption for caption, chosen in zip(self.captions, wanted, strict=True) if chosen],
            caption_image=self.caption_image[wanted],
            caption_ids=None if self.caption_ids is None else self.caption_ids[wanted],
        )


def join(first: Pictures, second: Pictures) -> Pictures:
    """Join the images of two splits of one source."""
    caption_ids = None
    if first.caption_ids is not None and second.caption_ids is not None:
        caption_ids = np.concatenate([first.caption_ids, second.caption_ids])
    return replace(
        first,
        names=first.names + second.names,
        ids=np.concatenate([first.ids, second.ids]),
        captions=first.captions + second.captions,
        caption_image=np.concatenate([first.caption_image, second.caption_image + len(first.names)]),
        caption_ids=caption_ids,
    )


MERGED = ("train", "restval", "trainrestval")


def merge_restval(splits: dict[str, Pictures]) -> dict[str, Pictures]:
    """Add MS-COCO's restval images to train, where every published set of precomputed features has them."""
    if "restval" not in splits or "train" not in splits:
        return splits
    merged = join(splits["train"], splits["restval"])
    return {"train": merged, **{name: split for name, split in splits.items() if name not in MERGED}}


def evenly(pictures: Pictures, per_image: int | None = None) -> Pictures:
    """Keep the first `per_image` captions of every image, if asked to; name the images that have fewer.

    Args:
        per_image: None keeps every caption of every image.
    """
    if per_image is None:
        return pictures
    short = np.flatnonzero(pictures.captions_per_image < per_image)
    if len(short):
        names = [pictures.names[image] for image in short]
        left_out(pictures.folder, f"images with fewer than {per_image} captions", names)
    return pictures.keep_captions(per_image)


def left_out(source: Path, what: str, names: Sequence[str]) -> None:
    """Warn that a source's items are left out: how many, and the first of them by name."""
    warn(f"{source}: {len(names)} {what} left out: {first_of(names)}")


def first_of(names: Sequence[str]) -> str:
    """List the first `NAMED` names."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def seeded_splits(images: int, dev: int, test: int, seed: int) -> np.ndarray:
    """Draw `dev` and `test` images at random, the others are for training -> split of each image [n].

    Raises:
        InputError: no image would be left for training.
    """
    if dev + test >= images:
        raise InputError(f"{images} images with captions; too few for {dev} dev and {test} test images, ask for fewer")
    names = np.full(images, "train", dtype="U7")
    order = np.random.default_rng(seed).permutation(images)
    names[order[:dev]] = "dev"
    names[order[dev : dev + test]] = "test"
    return names


def split_name(name: str, where: str) -> str:
    """Map a source's name of a split to ours.

    Args:
        where: file and line, for the message.

    Raises:
        InputError: not one of the names that the field uses.
    """
    split = SPLITS.get(name.strip().lower())
    if split is None:
        raise InputError(f"{where}: unknown split {name!r}; expected one of {', '.join(SPLITS)}")
    return split


def with_slashes(name: str) -> str:
    """Give a relative path with forward slashes, without `.` and doubled ones."""
    return str(PurePosixPath(name.replace("\\", "/")))


def inside(name: str, where: str) -> str:
    """Give `name` as a relative path; refuse one that leads out of the folder that it is relative to.

    Args:
        where: the file, and perhaps line, that holds the name, for the message.

    Raises:
        InputError: empty, absolute, on a drive, with `..` or a control character.
    """
    path = PurePosixPath(with_slashes(name))
    if not name.strip():
        raise InputError(f"{where}: no file name; expected the picture that the caption describes")
    if not path.name or path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise InputError(f"{where}: the file name {name!r} leads out of the picture folder; expected a relative name")
    if any(ord(character) < 32 for character in name):
        raise InputError(f"{where}: the file name {name!r} holds a control character; rename the file")
    return str(path)


def one_line(caption: str, where: str) -> str:
    """Give a caption without line breaks and with single blanks.

    Raises:
        InputError: it cannot be written as UTF-8, or holds a NUL.
    """
    try:
        caption.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: the caption {caption[:40]!r} holds half a character; mend the file") from None
    if "\0" in caption:
        raise InputError(f"{where}: the caption {caption[:40]!r} holds a NUL; mend the file")
    return " ".join(caption.split())


def picture_folder(folder: Path) -> Path:
    """Find the pictures of a data set folder: in it, where its `pictures.json` points, or one folder up.

    Raises:
        InputError: in none of these places.
    """
    noted = read_json(folder / PLACE) if (folder / PLACE).is_file() else None
    noted = noted.get("images") if isinstance(noted, dict) else None
    places = [folder / name for name in PICTURE_FOLDERS]
    places += [Path(noted)] if isinstance(noted, str) else []
    places += [folder.parent / name for name in PICTURE_FOLDERS]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise InputError(
            f"{folder}: no folder with pictures ({', '.join(PICTURE_FOLDERS)}); link it: ln -s PICTURES {folder}/images"
        )
    return found
