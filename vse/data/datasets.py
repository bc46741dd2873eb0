"""Find the folder of a data set and open its splits: captions, images, and each caption's image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from vse import REPOSITORY
from vse.console import say
from vse.data.features import Features, check_img_dim, equal_neighbours, open_features, rows_per_image
from vse.data.index import RECORD, given_caption_image, read_record, splits_of
from vse.data.index_writer import changed_sources
from vse.data.listings import karpathy_name, raw_source
from vse.data.pictures import first_of
from vse.errors import InputError, meant
from vse.files import read_bytes
from vse.published.sets import ALIASES, KARPATHY_FILES, PUBLISHED_SETS, canonical_name
from vse.text.captions import read_captions

DEMO = "demo"

DEV_IMAGES = 1000
"""The published protocol validates on the first 1,000 images of the dev split."""


class Images(Protocol):
    """The images of a split: memory-mapped features, or pictures that are decoded when read."""

    def __len__(self) -> int:
        """Count the images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's tensor."""

    def read(self, images: np.ndarray, generator: np.random.Generator | None = None) -> Tensor:
        """[b] image indices -> float32 [b, ...]; a generator asks for augmentation, of pictures."""


Extra = Callable[[np.ndarray], Tensor]
"""[b] image or caption indices -> [b, ...], as a batch holds it."""


@dataclass
class Split:
    """One split of a data set. Caption k describes image `caption_image[k]`."""

    name: str
    captions_file: Path
    captions: list[str]
    images: Images
    caption_image: np.ndarray  # [M] int64, ascending
    lines: np.ndarray | None = None  # [M] line of each caption in the caption file; None: the first M
    image_extras: dict[str, Extra] = field(default_factory=dict)
    """What a network reads of its images besides (GSMN: boxes), by the name it has in `Batch.extras`."""
    caption_extras: dict[str, Extra] = field(default_factory=dict)
    """The same of its captions (GSMN: edges of a parse)."""

    def file(self, ending: str) -> Path:
        """Name the split's file of an ending: `file("ims_bbx.npy")` is `{name}_ims_bbx.npy`."""
        return self.captions_file.with_name(f"{self.name}_{ending}")

    @property
    def captions_per_image(self) -> np.ndarray:
        """Number of captions of each image, [n] int64."""
        return np.bincount(self.caption_image, minlength=len(self.images))


def holds_splits(folder: Path) -> bool:
    """Whether a folder holds the captions of a split."""
    return folder.is_dir() and any(folder.glob("*_caps.txt"))


def locate_data_set(data_path: str | Path | None, data_name: str | None) -> Path:
    """Find the folder of a data set, as the command lines name it; nothing is written.

    The search goes through `data_path` (default: the repository's `data/`): NAME, NAME_precomp, NAME/precomp for every
    name of the data set, then `precomp`, then `data_path` itself, unless these two are another data set. Without either
    argument it is the built-in demo data set.

    Raises:
        InputError: no such folder, a raw data set that is not prepared, or one that has changed since it was.
    """
    folder = search_data_set(data_path, data_name)
    require_current(folder)
    return folder


def require_current(folder: Path) -> None:
    """Refuse a raw data set that is not prepared, or captions whose source has changed since they were made.

    Raises:
        InputError: either.
    """
    if not holds_splits(folder):
        raise InputError(
            f"{folder}: a raw data set without *_caps.txt files; make them: python -m vse prepare {folder}"
        )
    for source, splits in changed_sources(folder).items():
        remedy = f"python -m vse prepare {folder}" if is_raw_index(folder) else "what made them"
        raise InputError(
            f"{folder}: the captions of {', '.join(splits)} were made from {source}, which has changed since; run "
            f"{remedy} again, or delete {folder / RECORD} to keep them as they are"
        )


def is_raw_index(folder: Path) -> bool:
    """Whether the captions of a folder were made from a raw data set in it, and no features go with them."""
    sources = [source for entry in read_record(folder).values() for source in entry["made_from"]]
    return bool(sources) and not any(map(os.path.isabs, sources)) and not any(folder.glob("*_ims.npy"))


def search_data_set(data_path: str | Path | None, data_name: str | None) -> Path:
    """Find the folder of a data set, prepared or raw, up to date or not; see `locate_data_set`.

    Raises:
        InputError: no such folder.
    """
    if data_path is None and data_name is None:
        data_name = DEMO
    root = REPOSITORY / "data" if data_path is None else Path(data_path)
    if not root.is_dir():
        advice = meant(root.name, _folders(root.parent)) or "; expected the folder that holds the data set folders"
        raise InputError(f"{root}: no such folder{advice}")
    named = [] if data_name is None else names_of(data_name)
    candidates = [folder for name in named for folder in (name, f"{name}_precomp", f"{name}/precomp")]
    places = [*(root / candidate for candidate in candidates), root / "precomp", root]
    found = next((place for place in places if _is_data_set(place, data_name)), None)
    if found is not None:
        if data_name is not None:
            if found in places[-2:]:
                _require_name(found, root, data_name)
            _require_sources(found, data_name)
        return found
    looked_for = ", ".join([*dict.fromkeys(candidates), "precomp"])
    if data_name is not None and canonical_name(data_name) == DEMO and data_path is None:
        advice = "; training and python -m vse prepare make it"
    else:
        names = [name.removesuffix("_precomp") for name in _folders(root)]
        held = first_of([name for name in _folders(root) if holds_splits(root / name)])
        advice = meant(data_name or "", [*names, *([DEMO] if data_path is None else [])])
        advice = advice or f"; {f'it holds {held}: ' if held else ''}give a data set folder or the one that holds it"
    raise InputError(
        f"{root}: no data set folder with *_caps.txt files; looked for {looked_for} in it and for the files in "
        f"itself{advice}"
    )


def _folders(folder: Path) -> list[str]:
    """Name the folders in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def names_of(data_name: str) -> list[str]:
    """List the names that the folder of a data set may bear."""
    return [data_name, data_name.removesuffix("_precomp"), *ALIASES.get(canonical_name(data_name), ())]


def _is_data_set(folder: Path, data_name: str | None) -> bool:
    return holds_splits(folder) or (folder.is_dir() and bool(raw_source(folder, data_name)))


def _require_name(folder: Path, root: Path, data_name: str) -> None:
    """Refuse a folder that was found in spite of its name, if it is another data set than the one that is named."""
    name = (root if folder.name == "precomp" else folder).resolve().name
    wanted, bare = canonical_name(data_name), name.removesuffix("_precomp").lower()
    own_names = "|".join(re.escape(own.lower()) for own in names_of(data_name))
    if canonical_name(name) == wanted or re.match(rf"({own_names})(?![a-z0-9])", bare):
        return
    known = canonical_name(name) in (*ALIASES, DEMO) or name.endswith("_precomp")
    if known or wanted not in ALIASES or _published_as(folder) not in (None, wanted):
        raise InputError(
            f"{folder}: not the data set {data_name}; leave --data_name out if this folder is meant, or give the "
            f"folder that holds {data_name}"
        )
    say(f"{data_name}: {folder} itself, which holds the files of its splits")


def _require_sources(folder: Path, data_name: str) -> None:
    """Refuse captions that were made from the Karpathy file of another data set."""
    known = set(KARPATHY_FILES.values())
    for source in {source for entry in read_record(folder).values() for source in entry["made_from"]}:
        name = karpathy_name(Path(source)) if Path(source).name.startswith("dataset") else None
        if name in known and canonical_name(data_name) in known - {name}:
            raise InputError(
                f"{folder}: its captions were made from {source}; give {data_name} a folder of its own, with its "
                "Karpathy file and pictures"
            )


def _published_as(folder: Path) -> str | None:
    """Name the published data set that has as many training captions."""
    captions = folder / "train_caps.txt"
    lines = read_bytes(captions).count(b"\n") if captions.is_file() else 0
    return next((name for name, splits in PUBLISHED_SETS.items() if splits["train"][1] == lines), None)


def open_split(folder: Path, name: str, img_dim: int | None = None, first_images: int | None = None) -> Split:
    """Open `{name}_caps.txt` and `{name}_ims.npy`.

    Which image a caption belongs to is what `vse.data.index.given_caption_image` finds; without such a file every image
    has equally many captions, and the features say how many images there are.

    Args:
        img_dim: refused if the file contradicts it.
        first_images: keep this many images with their captions; smaller splits stay whole.

    Raises:
        InputError: files missing, damaged or not belonging together.
    """
    captions_file = folder / f"{name}_caps.txt"
    if not captions_file.is_file():
        raise InputError(
            f"{captions_file}: no such file; the folder has the splits {', '.join(splits_of(folder)) or 'none'}"
        )
    captions = read_captions(captions_file)
    features_file = folder / f"{name}_ims.npy"
    array = open_features(features_file)
    caption_image = given_caption_image(folder, name, len(captions))
    if caption_image is None:
        repeat = rows_per_image(array, len(captions), features_file)
        images = len(array) // repeat
        caption_image = np.repeat(np.arange(images), len(captions) // images)
    else:
        repeat = _repeat(array, caption_image, features_file)
    features = Features(features_file, array, repeat)
    check_img_dim(img_dim, features.shape, features_file)
    if first_images is not None and len(features) > first_images:
        features.count = first_images
        caption_image = caption_image[: np.searchsorted(caption_image, first_images)]
        captions = captions[: len(caption_image)]
    return Split(name, captions_file, captions, features, caption_image)


def _repeat(array: np.ndarray, caption_image: np.ndarray, path: Path) -> int:
    """Rows of a feature file for each image, where the captions tell the number of images."""
    images, captions = int(caption_image[-1]) + 1, len(caption_image)
    if len(array) == images:
        return 1
    repeat = captions // images
    if len(array) == captions and (np.bincount(caption_image) == repeat).all():
        different = ~equal_neighbours(array) & (np.arange(1, captions) % repeat != 0)
        if different.any():
            row = int(different.argmax())
            raise InputError(
                f"{path}: rows {row} and {row + 1} differ, but belong to captions of one image; the captions and the "
                "features are of different orders or sets"
            )
        return repeat
    raise InputError(
        f"{path}: {len(array)} rows; {path.name.replace('ims.npy', 'caption_image.npy')} or the ids beside it tell "
        f"{images} images with {captions} captions, expected a row for each image"
    )
