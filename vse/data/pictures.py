"""Pictures and their captions: the splits of a data set folder that holds pictures, read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import orjson

from vse.errors import InputError
from vse.files import write_atomically

SPLITS = {"train": "train", "dev": "dev", "val": "dev", "test": "test", "testall": "testall", "restval": "restval"}
"""Split names of the sources -> ours; the Karpathy files say `val` where precomputed features say `dev`."""

PICTURE_FOLDERS = ("images", "flickr30k-images", "flickr30k_images", "Flicker8k_Dataset", "Images")
"""Where the public distributions unpack their pictures."""

MAPPING = "id_mapping.json"

PLACE = "pictures.json"


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split and their captions, as a source lists them; no picture is opened.

    The captions of an image are neighbours, and images stand in the order of their captions.
    """

    folder: Path
    names: list[str]  # n file names, relative to `folder`
    ids: np.ndarray  # [n] int64, the source's own ids
    captions: list[str]  # M
    caption_image: np.ndarray  # [M] int64

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.names]

    @property
    def even(self) -> bool:
        """Every image has as many captions as the next."""
        return len(np.unique(self.captions_per_image)) == 1

    @property
    def captions_per_image(self) -> np.ndarray:
        return np.bincount(self.caption_image, minlength=len(self.names))

    def keep(self, wanted: np.ndarray) -> Pictures:
        """The images where `wanted` [n] is true, with their captions."""
        new_index = np.cumsum(wanted) - 1
        captions = wanted[self.caption_image]
        return Pictures(
            self.folder,
            [name for name, kept in zip(self.names, wanted, strict=True) if kept],
            self.ids[wanted],
            [caption for caption, kept in zip(self.captions, captions, strict=True) if kept],
            new_index[self.caption_image[captions]],
        )

    def keep_captions(self, per_image: int) -> Pictures:
        """The first `per_image` captions of each image that has so many; other images are left out."""
        enough = self.keep(self.captions_per_image >= per_image)
        first = np.searchsorted(enough.caption_image, np.arange(len(enough.names)))
        chosen = (first[:, None] + np.arange(per_image)).ravel()
        captions = [enough.captions[caption] for caption in chosen]
        return Pictures(enough.folder, enough.names, enough.ids, captions, enough.caption_image[chosen])


def join(first: Pictures, second: Pictures) -> Pictures:
    """The images of two splits of one source as one split."""
    return Pictures(
        first.folder,
        first.names + second.names,
        np.concatenate([first.ids, second.ids]),
        first.captions + second.captions,
        np.concatenate([first.caption_image, second.caption_image + len(first.names)]),
    )


MERGED = ("train", "restval", "trainrestval")


def merge_restval(splits: dict[str, Pictures]) -> dict[str, Pictures]:
    """MS-COCO's restval images belong to train, as in every published set of precomputed features."""
    if "restval" not in splits or "train" not in splits:
        return splits
    merged = join(splits["train"], splits["restval"])
    return {"train": merged, **{name: split for name, split in splits.items() if name not in MERGED}}


def evenly(pictures: Pictures, per_image: int | None = None) -> Pictures:
    """As many captions for every image, which is what the form of precomputed features says.

    Args:
        per_image: keep so many, the first ones, and leave images with fewer out; default: the smallest number.
    """
    if pictures.even and per_image is None:
        return pictures
    return pictures.keep_captions(int(pictures.captions_per_image.min()) if per_image is None else per_image)


def seeded_splits(images: int, dev: int, test: int, seed: int) -> np.ndarray:
    """[n] split of each image: `dev` and `test` images drawn at random, the others are for training.

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


def inside(name: str, source: Path) -> str:
    """`name` as a relative path, refused where it would lead out of the folder it is relative to.

    Args:
        source: the file that holds the name, for the message.

    Raises:
        InputError: empty, absolute, on a drive, with `..` or a NUL.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise InputError(f"{source}: the file name {name!r} leads out of the picture folder; expected a relative name")
    return str(path)


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a JSON file") from None
    except orjson.JSONDecodeError as problem:
        raise InputError(f"{path}, line {problem.lineno}: not JSON ({problem.msg}); use another copy of it") from None


def folder_pictures(folder: Path, images: Path | None = None) -> dict[str, Pictures]:
    """A data set folder with `{split}_caps.txt`, `{split}_ids.txt` and `id_mapping.json` (VSE-infinity's raw form).

    Captions belong to images evenly, or as `{split}_caption_image.npy` says. The mapping may also lie one folder up.

    Raises:
        InputError: files missing or not belonging together.
    """
    from vse.text.captions import read_captions  # brings torch along, which converting features does without

    mapping_file = _mapping_file(folder)
    if mapping_file is None:
        raise InputError(f"{folder / MAPPING}: no such file; expected the picture file of each id of {{split}}_ids.txt")
    mapping = read_json(mapping_file)
    if not isinstance(mapping, dict) or not all(isinstance(name, str) for name in mapping.values()):
        raise InputError(f'{mapping_file}: expected {{"id": "file name"}}')
    images = images or picture_folder(folder)
    found: dict[str, Pictures] = {}
    present = {path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt")}
    for split in [
        *(name for name in dict.fromkeys(SPLITS.values()) if name in present),
        *sorted(present - {*SPLITS.values()}),
    ]:
        captions_file = folder / f"{split}_caps.txt"
        captions = read_captions(captions_file)
        ids = read_ids(folder / f"{split}_ids.txt")
        missing = [image_id for image_id in ids.tolist() if str(image_id) not in mapping]
        if missing:
            raise InputError(
                f"{mapping_file}: {len(missing)} ids of {split}_ids.txt have no file name, first {missing[0]}; "
                "the two files belong to different data sets"
            )
        names = [inside(mapping[str(image_id)], mapping_file) for image_id in ids.tolist()]
        found[split] = Pictures(images, names, ids, captions, _caption_image(folder, split, len(ids), len(captions)))
    if not found:
        raise InputError(f"{folder}: no *_caps.txt; expected a data set folder")
    return found


def _mapping_file(folder: Path) -> Path | None:
    return next((place for place in (folder / MAPPING, folder.parent / MAPPING) if place.is_file()), None)


def _caption_image(folder: Path, split: str, images: int, captions: int) -> np.ndarray:
    path = folder / f"{split}_caption_image.npy"
    if path.is_file():
        try:
            caption_image = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError):
            raise InputError(
                f"{path}: not a whole .npy file of numbers; delete it and prepare the data set again"
            ) from None
        fits = caption_image.shape == (captions,) and caption_image.dtype.kind in "iu"
        if not fits or (np.diff(caption_image) < 0).any() or caption_image[0] < 0 or caption_image[-1] >= images:
            raise InputError(
                f"{path}: {caption_image.dtype} {list(caption_image.shape)} does not give each of the {captions} "
                f"captions one of {images} images in order; prepare the data set again"
            )
        return caption_image.astype(np.int64)
    if images == 0 or captions % images:
        raise InputError(
            f"{folder / f'{split}_ids.txt'}: {images} images do not divide the {captions} captions beside it"
        )
    return np.repeat(np.arange(images), captions // images)


def read_ids(path: Path) -> np.ndarray:
    """[n] ids of a file with one integer a line.

    Raises:
        InputError: the line that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected one image id a line") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text; expected one image id a line") from None
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError):
        number, line = next((i, line) for i, line in enumerate(lines, 1) if not re.fullmatch(r"-?\d{1,18}", line))
        raise InputError(
            f"{path}, line {number}: {line[:40]!r} is not an integer; expected one image id a line"
        ) from None


def picture_folder(folder: Path) -> Path:
    """Where the pictures of a data set folder are: in it, one folder up, or where `pictures.json` points.

    Raises:
        InputError: in none of these places.
    """
    for place in (folder, folder.parent):
        for name in PICTURE_FOLDERS:
            if (place / name).is_dir():
                return place / name
    if (folder / PLACE).is_file():
        place = read_json(folder / PLACE).get("images")
        if isinstance(place, str) and Path(place).is_dir():
            return Path(place)
    raise InputError(
        f"{folder}: no folder with pictures ({', '.join(PICTURE_FOLDERS)}); link it: ln -s PICTURES {folder}/images"
    )


def holds_pictures(folder: Path) -> bool:
    """A data set folder that says which pictures its captions belong to."""
    return _mapping_file(folder) is not None and any(folder.glob("*_ids.txt"))


def write_index(splits: dict[str, Pictures], folder: Path) -> None:
    """Write captions, ids and names of the splits into a data set folder; features are not its business.

    Files: `{split}_caps.txt`, `{split}_ids.txt`, `{split}_names.txt`, `id_mapping.json`, `pictures.json` (where the
    pictures are) and, where images differ in their number of captions, `{split}_caption_image.npy`.

    Raises:
        InputError: the folder cannot be written.
    """
    mapping: dict[str, str] = {}
    for pictures in splits.values():
        mapping |= dict(zip(map(str, pictures.ids.tolist()), pictures.names, strict=True))
    write_atomically(folder / MAPPING, lambda file: file.write(orjson.dumps(mapping)))
    images = next(iter(splits.values())).folder
    if images.is_dir():
        place = orjson.dumps({"images": str(images.resolve())})
        write_atomically(folder / PLACE, lambda file: file.write(place))
    for split, pictures in splits.items():
        write_split(split, pictures, folder)


def write_split(split: str, pictures: Pictures, folder: Path) -> None:
    """Write `{split}_caps.txt` and what goes with it; the captions last, for they make a folder a data set.

    Raises:
        InputError: the folder cannot be written.
    """
    write_lines(folder / f"{split}_ids.txt", [str(image_id) for image_id in pictures.ids.tolist()])
    write_lines(folder / f"{split}_names.txt", pictures.names)
    uneven = folder / f"{split}_caption_image.npy"
    if not pictures.even:
        write_atomically(uneven, lambda file: np.save(file, pictures.caption_image))
    elif uneven.exists():
        uneven.unlink()
    write_lines(folder / f"{split}_caps.txt", pictures.captions)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file, a line each.

    Raises:
        InputError: the folder cannot be written.
    """
    content = "".join(f"{line}\n" for line in lines).encode()
    write_atomically(path, lambda file: file.write(content))
