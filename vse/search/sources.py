"""Sources of an index: pictures, the split of a data set, or an array of features."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vse.console import warn
from vse.data.datasets import Split
from vse.data.features import Features, open_features
from vse.data.ids import find_folder
from vse.data.images import RawImages, find_broken, open_picture
from vse.data.index import read_lines
from vse.data.pictures import first_of, inside, picture_folder
from vse.errors import InputError
from vse.files import sha256
from vse.inference.model import Model
from vse.nn.network import Encoding
from vse.search.store import Item, Side

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm"}

PICTURES_AT_A_TIME = 1_024


@dataclass
class ItemSource:
    """Items of one side."""

    side: Side
    place: str
    """What the keys of its items begin with, and no other item's."""
    items: list[Item]
    encode: Callable[[list[int]], Encoding]
    """Places among the items -> their encoding."""
    chunk: int
    """Items to encode at a time."""


def open_sources(model: Model, name: str, split: str, skip_broken: bool) -> list[ItemSource]:
    """Open what a command line names: a data set folder or its name, a folder of pictures, a picture, or features.

    Raises:
        InputError: none of these, pictures that cannot be decoded, or data that the network does not read.
    """
    path = Path(name)
    if path.suffix == ".npy":
        return [_of_features(model, path)]
    if path.is_file() or (path.is_dir() and not any(path.glob("*_caps.txt"))):
        return [_of_pictures(model, path, skip_broken)]
    try:
        folder = find_folder(name)
    except InputError as problem:
        if path.exists():
            raise
        raise InputError(
            f"{name}: no such folder, picture or .npy file; as the name of a data set: {problem}"
        ) from None
    return _of_split(model, model.trained.reader.open_split(folder, split))


def _of_pictures(model: Model, path: Path, skip_broken: bool) -> ItemSource:
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{path}: holds no pictures ({', '.join(sorted(SUFFIXES))}) and no *_caps.txt of a data set")
    broken = set(find_broken(found))
    if broken and not skip_broken:
        open_picture(found[min(broken)])  # raises, and says what is wrong
    if broken:
        names = [str(found[place]) for place in sorted(broken)]
        warn(f"{path}: {len(broken)} of {len(found)} pictures left out, they cannot be decoded: {first_of(names)}")
        found = [file for place, file in enumerate(found) if place not in broken]
    if not found:
        raise InputError(f"{path}: none of its {len(broken)} pictures can be decoded; give other pictures")
    root = path.parent if path.is_file() else path
    items = [
        Item(str(file.resolve()), str(file.relative_to(root)), sha256(file), str(file.resolve())) for file in found
    ]
    return ItemSource(
        "images",
        items[0].key if path.is_file() else f"{path.resolve()}{os.sep}",
        items,
        lambda places: model.encode_images([found[place] for place in places]),
        PICTURES_AT_A_TIME,
    )


def _of_features(model: Model, path: Path) -> ItemSource:
    array = open_features(path)
    if array.ndim != len(model.image_shape) + 1:  # one image of several regions, to the model
        raise InputError(
            f"{path}: shape {list(array.shape)}; expected [images, {', '.join(map(str, model.image_shape))}], as "
            f"{model.trained.path} reads"
        )
    key = str(path.resolve())
    items = [Item(f"{key}:{row}", f"{path.name} row {row}", _digest(array[row])) for row in range(len(array))]
    empty = sum(not row.any() for row in array)
    if empty:
        warn(f"{path}: {empty} of {len(array)} rows are all zero and mean nothing; extract those features again")
    features = Features(path, array)
    return ItemSource(
        "images",
        f"{key}:",
        items,
        lambda places: model.encode_images(features.read(np.array(places))),
        PICTURES_AT_A_TIME,
    )


def _of_split(model: Model, split: Split) -> list[ItemSource]:
    """Encode the split once, and only if one of its items is new or has changed."""
    encoded: list[tuple[Encoding, Encoding]] = []

    def part(number: int) -> Callable[[list[int]], Encoding]:
        def encode(places: list[int]) -> Encoding:
            if not encoded:
                encoded.append(model.encode_split(split))
            return encoded[0][number].rows(torch.tensor(places))

        return encode

    key = f"{split.captions_file.parent.resolve()}:{split.name}"
    names, pictures = _names_of(split), _pictures_of(split)
    images = []
    for row in range(len(split.images)):
        if isinstance(split.images, RawImages):
            content = sha256(split.images.paths[row])
        else:
            content = _digest(split.images.read(np.array([row])).float().numpy())
        name = names[row] if names else f"{split.name} image {row}"
        images.append(Item(f"{key}:image {row}", name, content, pictures[row]))
    captions = [
        Item(
            f"{key}:caption {number}",
            caption,
            hashlib.sha256(caption.encode()).hexdigest(),
            pictures[split.caption_image[number]],
        )
        for number, caption in enumerate(split.captions)
    ]
    every = max(len(images), len(captions))
    return [
        ItemSource("images", f"{key}:image ", images, part(0), every),
        ItemSource("captions", f"{key}:caption ", captions, part(1), every),
    ]


def _names_of(split: Split) -> list[str]:
    """Return the picture name of each image, by `{split}_names.txt`; empty where nothing tells."""
    if isinstance(split.images, RawImages):
        return [path.name for path in split.images.paths]
    file = split.file("names.txt")
    names = read_lines(file) if file.is_file() else []
    if len(names) % len(split.images):
        warn(f"{file}: {len(names)} names for {len(split.images)} images; the images are numbered instead")
        return []
    return names[:: len(names) // len(split.images)] if names else []


def _pictures_of(split: Split) -> Sequence[str | None]:
    """Return the path of each image's picture; None where it is not known or not there."""
    if isinstance(split.images, RawImages):
        return [str(path.resolve()) for path in split.images.paths]
    names = _names_of(split)
    try:
        folder = picture_folder(split.captions_file.parent)
        paths = [folder / inside(name, str(split.file("names.txt"))) for name in names]
    except InputError:
        paths = []
    found = [str(path.resolve()) if path.is_file() else None for path in paths]
    return found or [None] * len(split.images)


def _digest(row: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()
