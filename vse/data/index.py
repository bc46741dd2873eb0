"""Read the index of a data set folder: captions, ids and names of each split, each caption's image, and its record.

Files: `{split}_caps.txt`, `{split}_ids.txt`, `{split}_cap_ids.txt`, `{split}_names.txt`, `{split}_caption_image.npy`,
`id_mapping.json` (id -> file name), `pictures.json` (where the pictures are) and `index.json`, which records the
source of each split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vse.data.pictures import SPLITS, Pictures, inside, picture_folder
from vse.errors import InputError
from vse.files import read_json, read_text
from vse.formats.array_files import read_npy
from vse.text.captions import read_captions

MAPPING = "id_mapping.json"

RECORD = "index.json"

ENDINGS = ("caps.txt", "ids.txt", "cap_ids.txt", "names.txt", "caption_image.npy")

SUBSETS = ({"test", "testall"}, {"train", "trainrestval"}, {"restval", "trainrestval"})
"""Splits that share images on purpose."""


def splits_of(folder: Path) -> list[str]:
    """List the splits whose captions a folder holds, in the usual order."""
    present = {path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt")}
    known = [name for name in dict.fromkeys(SPLITS.values()) if name in present]
    return [*known, *sorted(present - set(known))]


def holds_pictures(folder: Path) -> bool:
    """Whether a data set folder says which pictures its captions belong to."""
    return _mapping_file(folder) is not None and any(folder.glob("*_ids.txt"))


def _mapping_file(folder: Path) -> Path | None:
    return next((place for place in (folder / MAPPING, folder.parent / MAPPING) if place.is_file()), None)


# Whose caption is whose


def given_caption_image(folder: Path, split: str, captions: int) -> np.ndarray | None:
    """Read which image each caption describes, where a file of the split says so: [M] int64, ascending.

    `{split}_caption_image.npy` says it, or a `{split}_ids.txt` with a line for each caption, in which the captions of
    an image are neighbours and repeat its id. Without either, every image has equally many captions.

    Raises:
        InputError: a file that does not fit the captions, or gives an image's captions in several places.
    """
    path = folder / f"{split}_caption_image.npy"
    if path.is_file():
        return _read_caption_image(path, captions)
    ids = folder / f"{split}_ids.txt"
    if not ids.is_file():
        return None
    lines = read_lines(ids)
    return _runs(lines, ids) if len(lines) == captions else None


def _runs(ids: Sequence[str], path: Path) -> np.ndarray | None:
    """Give each run of equal neighbours a number; None where no id repeats."""
    starts = [line == 0 or ids[line] != ids[line - 1] for line in range(len(ids))]
    if all(starts):
        return None
    first: dict[str, int] = {}
    for line in np.flatnonzero(starts).tolist():
        if first.setdefault(ids[line], line) != line:
            raise InputError(
                f"{path}, line {line + 1}: id {ids[line]} comes again after line {first[ids[line]] + 1}, with others "
                "between; expected an image's captions, and their lines here, to be neighbours"
            )
    return np.cumsum(starts, dtype=np.int64) - 1


def _read_caption_image(path: Path, captions: int) -> np.ndarray:
    try:
        caption_image = read_npy(path)
    except (ValueError, OSError):
        raise InputError(
            f"{path}: not a whole .npy file of numbers; delete it and prepare the data set again"
        ) from None
    if caption_image.shape != (captions,) or caption_image.dtype.kind not in "iu":
        raise InputError(
            f"{path}: {caption_image.dtype} {list(caption_image.shape)}; expected the image of each of the {captions} "
            "captions, prepare the data set again"
        )
    caption_image = caption_image.astype(np.int64)
    steps = np.diff(caption_image, prepend=-1)
    if not np.isin(steps, (0, 1)).all() or steps[0] != 1:
        caption = int((~np.isin(steps, (0, 1))).argmax())
        raise InputError(
            f"{path}: caption {caption} belongs to image {caption_image[caption]}; expected images 0, 1, 2, ... in "
            "order, each with a caption, sort the captions by their image"
        )
    return caption_image


def read_ids(path: Path) -> np.ndarray:
    """Read a file with one integer a line -> [n] int64.

    Raises:
        InputError: the line that is none.
    """
    lines = read_lines(path)
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(r"-?\d{1,18}", line):
            raise InputError(f"{path}, line {number}: {line[:40]!r} is not an integer; expected one image id a line")
    return np.array([int(line) for line in lines], dtype=np.int64)


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, stripped, without empty ones at its end.

    Raises:
        InputError: the file cannot be read as text.
    """
    try:
        lines = read_text(path, encoding="utf-8-sig").rstrip().split("\n")
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected one image id a line") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text; expected one image id a line") from None
    return [line.strip() for line in lines] if lines != [""] else []


# Reading an index


def folder_pictures(folder: Path, images: Path | None = None, need_names: bool = True) -> dict[str, Pictures]:
    """Read a data set folder with `{split}_caps.txt` and `{split}_ids.txt`.

    File names come from `id_mapping.json`, here or one folder up, or from `{split}_names.txt`. Which caption belongs to
    which image: see `given_caption_image`.

    Args:
        images: folder of the pictures; default: `picture_folder`.
        need_names: without them the ids serve as names (SCAN's folders), where the pictures are not needed.

    Raises:
        InputError: files missing or not belonging together.
    """
    mapping_file = _mapping_file(folder)
    mapping = None if mapping_file is None else read_json(mapping_file)
    if mapping is not None and not (
        isinstance(mapping, dict) and all(isinstance(name, str) for name in mapping.values())
    ):
        raise InputError(f'{mapping_file}: expected {{"id": "file name"}}')
    if need_names and mapping is None and not any(folder.glob("*_names.txt")):
        raise InputError(
            f"{folder / MAPPING}: no such file; expected the picture file of each id of {{split}}_ids.txt, here or in "
            "{split}_names.txt"
        )
    if images is None:
        images = picture_folder(folder)
    record = read_record(folder)
    found: dict[str, Pictures] = {}
    for split in splits_of(folder):
        captions_file = folder / f"{split}_caps.txt"
        captions = read_captions(captions_file)
        ids, caption_image = _ids_and_owners(folder, split, len(captions))
        names = _names(folder, split, ids, mapping, mapping_file)
        if names is None and need_names:
            raise InputError(f"{folder / f'{split}_names.txt'}: no such file; expected the picture file of each image")
        caption_ids = folder / f"{split}_cap_ids.txt"
        made_from = tuple((folder / source).resolve() for source in record.get(split, {}).get("made_from", {}))
        found[split] = Pictures(
            images,
            [str(image_id) for image_id in ids.tolist()] if names is None else names,
            ids,
            captions,
            caption_image,
            read_ids(caption_ids) if caption_ids.is_file() else None,
            made_from or (captions_file, folder / f"{split}_ids.txt"),
            record.get(split, {}).get("by", {}),
        )
        read = found[split].caption_ids
        if read is not None and len(read) != len(captions):
            raise InputError(f"{caption_ids}: {len(read)} ids; expected one for each of the {len(captions)} captions")
    if not found:
        raise InputError(f"{folder}: no *_caps.txt; expected a data set folder")
    return found


def _ids_and_owners(folder: Path, split: str, captions: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the id of each image [n] and the image of each caption [M]."""
    path = folder / f"{split}_ids.txt"
    ids = read_ids(path)
    caption_image = given_caption_image(folder, split, captions)
    if caption_image is None:
        if len(ids) == 0 or captions % len(ids):
            raise InputError(f"{path}: {len(ids)} images do not divide the {captions} captions beside it")
        caption_image = np.repeat(np.arange(len(ids)), captions // len(ids))
    images = int(caption_image[-1]) + 1
    if len(ids) == captions:
        ids = ids[np.searchsorted(caption_image, np.arange(images))]
    if len(ids) != images:
        raise InputError(f"{path}: {len(ids)} ids; expected one for each of {images} images or {captions} captions")
    if len(np.unique(ids)) < images:
        values, counts = np.unique(ids, return_counts=True)
        raise InputError(f"{path}: id {values[counts > 1][0]} stands for several images; expected every image once")
    return ids, caption_image


def _names(
    folder: Path, split: str, ids: np.ndarray, mapping: Mapping[str, str] | None, mapping_file: Path | None
) -> list[str] | None:
    """Read the file name of each image; None where no file tells it."""
    path = folder / f"{split}_names.txt"
    written = None
    if path.is_file():
        written = read_text(path, encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
        if len(written) != len(ids):
            raise InputError(f"{path}: {len(written)} lines; expected one for each of the {len(ids)} images of {split}")
        written = [inside(name, str(path)) for name in written]
    if mapping is None:
        return written
    missing = [image_id for image_id in ids.tolist() if str(image_id) not in mapping]
    if missing:
        raise InputError(
            f"{mapping_file}: {len(missing)} ids of {split}_ids.txt have no file name, first {missing[0]}; "
            "the two files belong to different data sets"
        )
    names = [inside(mapping[str(image_id)], str(mapping_file)) for image_id in ids.tolist()]
    if written is not None and written != names:
        image = next(place for place, pair in enumerate(zip(written, names, strict=True)) if pair[0] != pair[1])
        raise InputError(
            f"{path}, line {image + 1}: {written[image]}, but {mapping_file} has {names[image]} for id {ids[image]}; "
            "delete whichever is outdated"
        )
    return names


# What a split was made from, and what it shares


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what the splits of a folder were made from; empty where no record is kept.

    Raises:
        InputError: the record is not what `write_index` writes.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    content = read_json(path)
    try:
        splits: dict[str, dict[str, Any]] = content["splits"]
        for entry in splits.values():
            _ = entry["made_from"].items(), entry["by"].items(), entry["sha256"]
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not what python -m vse prepare writes; delete it") from None
    return splits


def shared_images(folder: Path) -> list[tuple[str, str, list[str]]]:
    """Find images that two splits of a folder share -> (split, other split, names or ids).

    Images are known by their names or, where a split has none, by their ids, unless both splits number theirs from 0.
    Splits that contain another on purpose (`SUBSETS`) are not compared.
    """
    names, ids = ({split: _written(folder, split, what) for split in splits_of(folder)} for what in ("names", "ids"))
    found = []
    for first, second in combinations(ids, 2):
        known = names if names[first] and names[second] else ids
        numbered = all(sorted(known[split]) == sorted(map(str, range(len(known[split])))) for split in (first, second))
        shared = known[first] & known[second]
        if shared and not numbered and {first, second} not in SUBSETS:
            found.append((first, second, sorted(shared)))
    return found


def _written(folder: Path, split: str, what: str) -> set[str]:
    path = folder / f"{split}_{what}.txt"
    return set(read_lines(path)) if path.is_file() else set()
