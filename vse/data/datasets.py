"""Find a data set's folder and vocabulary, and open its splits: captions, images and which caption is whose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from vse import REPOSITORY
from vse.console import say, warn
from vse.data.features import Features, check_img_dim, open_features, rows_per_image
from vse.errors import InputError
from vse.text.captions import read_captions
from vse.text.vocabulary import Vocabulary

DEMO = "demo"

DEV_IMAGES = 1000
"""The published protocol validates on the first 1,000 images of the dev split."""

ALIASES = {
    "f30k": ("f30k",),
    "coco": ("coco",),
    "f8k": ("f8k",),
    "iaprtc12": ("iaprtc12", "IAPRTC12", "IAPRTC", "IAPR"),
}
"""Canonical name -> names its folder may bear, each also with `_precomp`."""


class Images(Protocol):
    """The images of a split: memory-mapped features or pictures that are decoded on reading."""

    def __len__(self) -> int:
        """Number of images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's tensor."""

    def read(self, images: np.ndarray, generator: np.random.Generator | None = None) -> Tensor:
        """[b] image indices -> float32 [b, ...]; a generator asks for augmentation, of pictures."""


Extra = Callable[[np.ndarray], Tensor]
"""[b] image or caption indices -> [b, ...], as a batch holds it."""


@dataclass
class Split:
    """One split of a data set. Caption k (line k of the caption file) describes image `caption_image[k]`."""

    name: str
    captions_file: Path
    captions: list[str]
    images: Images
    caption_image: np.ndarray  # [M] int64
    image_extras: dict[str, Extra] = field(default_factory=dict)
    """What a network reads of its images besides (GSMN: boxes), by the name it has in `Batch.extras`."""
    caption_extras: dict[str, Extra] = field(default_factory=dict)
    """The same of its captions (GSMN: edges of a parse)."""

    def file(self, ending: str) -> Path:
        """The split's file of that ending: `file("ims_bbx.npy")` is `{name}_ims_bbx.npy`."""
        return self.captions_file.with_name(f"{self.name}_{ending}")

    @property
    def captions_per_image(self) -> float:
        return len(self.captions) / len(self.images)


def canonical_name(data_name: str) -> str:
    """`f30k_precomp` -> `f30k`, `IAPRTC` -> `iaprtc12`; other names only lose `_precomp`."""
    bare = data_name.removesuffix("_precomp")
    for name, aliases in ALIASES.items():
        if bare.lower() in {alias.lower() for alias in aliases}:
            return name
    return bare


def holds_splits(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*_caps.txt"))


def find_data_set(data_path: str | Path | None, data_name: str | None) -> Path:
    """The folder of a data set, as the command lines name it.

    Looked for under `data_path` (default: the repository's `data/`): NAME, NAME_precomp, NAME/precomp for every name
    the data set goes by, then `precomp`, then `data_path` itself. A raw data set (MS-COCO's annotations, a Karpathy
    JSON, a captions.csv) found there becomes a data set folder. Without either argument it is the embedded demo data
    set, which is made on first use.

    Raises:
        InputError: none of the folders holds split files; the message lists what was looked for.
    """
    if data_path is None and data_name is None:
        data_name = DEMO
    root = REPOSITORY / "data" if data_path is None else Path(data_path)
    if data_name is not None and canonical_name(data_name) == DEMO and data_path is None:
        from vse.data.demo import make_demo  # only needed here, and it imports the drawing library

        make_demo(root / "demo_precomp")
    names = []
    if data_name is not None:
        bare = data_name.removesuffix("_precomp")
        names = [data_name, bare, *ALIASES.get(canonical_name(data_name), ())]
    candidates = [folder for name in names for folder in (name, f"{name}_precomp", f"{name}/precomp")]
    candidates = list(dict.fromkeys([*candidates, "precomp", "."]))
    found = next((root / candidate for candidate in candidates if holds_splits(root / candidate)), None)
    if found is None:
        from vse.data.listings import index_named_set  # only raw data sets need it, and it imports their libraries

        index_named_set(data_path, data_name)
        found = next((root / candidate for candidate in candidates if holds_splits(root / candidate)), None)
    if found is not None:
        return found
    if not root.is_dir():
        raise InputError(f"--data_path {root}: no such folder; expected the folder that holds the data set folders")
    looked_for = ", ".join(candidates[:-1])
    raise InputError(
        f"{root}: no data set folder with *_caps.txt files; looked for {looked_for} in it and for the files in itself; "
        "give the folder with --data_path and --data_name"
    )


def open_split(folder: Path, name: str, img_dim: int | None = None, first_images: int | None = None) -> Split:
    """Open `{name}_caps.txt` and `{name}_ims.npy`; captions k * n ... k * n + n - 1 belong to image k.

    Args:
        img_dim: refused if the file contradicts it.
        first_images: keep only so many images with their captions; smaller splits stay whole.

    Raises:
        InputError: files missing, damaged or not belonging together.
    """
    captions_file = folder / f"{name}_caps.txt"
    if not captions_file.is_file():
        splits = sorted(path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt"))
        raise InputError(f"{captions_file}: no such file; the folder has the splits {', '.join(splits) or 'none'}")
    captions = read_captions(captions_file)
    features_file = folder / f"{name}_ims.npy"
    array = open_features(features_file)
    repeat = rows_per_image(array, len(captions), features_file)
    features = Features(features_file, array, repeat)
    check_img_dim(img_dim, features.shape, features_file)
    per_image = len(captions) // len(features)
    if first_images is not None and len(features) > first_images:
        features.count = first_images
        captions = captions[: first_images * per_image]
    caption_image = np.repeat(np.arange(len(features)), per_image)
    return Split(name, captions_file, captions, features, caption_image)


def open_dev(folder: Path, img_dim: int | None = None) -> Split:
    """The dev split as the published protocol validates on it: its first 1,000 images."""
    return open_split(folder, "dev", img_dim, first_images=DEV_IMAGES)


def find_vocabulary(
    vocab_path: str | Path | None,
    data_name: str | None,
    data_folder: Path,
    threshold: int = 4,
    tokeniser: str = "punkt",
) -> tuple[Vocabulary, Path | None]:
    """The vocabulary of a data set; one that does not exist is built from its train and dev captions and saved.

    Looked for are NAME_vocab.json and NAME_vocab.pkl in `vocab_path`, NAME being `data_name` with and without
    `_precomp`; without `vocab_path` the same in `data_folder`, and vocab.json. In `vocab_path` IAPR TC-12 falls back on
    Flickr30K's vocabulary, which the published code reads it with, having none of its own.

    Args:
        vocab_path: folder of vocabulary files, or one such file.
        threshold: how often a word must occur to enter a new vocabulary.
        tokeniser: what captions are to be read with, see `vse.text.tokens.TOKENISERS`.

    Returns:
        The vocabulary, and the folder it lies in: where `token_ids` may cache. None if a new one could not be saved.

    Raises:
        InputError: the vocabulary is damaged or of another tokeniser, or there are no captions to build one from.
    """
    folder = Path(data_folder if vocab_path is None else vocab_path)
    if folder.suffix in (".json", ".pkl") or folder.is_file():
        return Vocabulary.load(folder, tokeniser), folder.parent
    bare = (data_name or "").removesuffix("_precomp")
    names = [data_name, bare, f"{bare}_precomp"] if data_name else []
    if vocab_path is not None and canonical_name(bare) == "iaprtc12":
        own = [f"{alias}{suffix}" for alias in ALIASES["iaprtc12"] for suffix in ("", "_precomp")]
        names = [*names, *own, "f30k_precomp"]
    candidates = [folder / f"{name}_vocab{suffix}" for name in names for suffix in (".json", ".pkl")]
    if vocab_path is None or not names:
        candidates.insert(0, folder / "vocab.json")
    for candidate in candidates:
        if candidate.is_file():
            if candidate.stem == "f30k_precomp_vocab" and canonical_name(bare) != "f30k":
                say(f"{data_name} is read with Flickr30K's vocabulary, as published: {candidate}")
            return Vocabulary.load(candidate, tokeniser), folder
    return _build_vocabulary(candidates[0], Path(data_folder), threshold, tokeniser)


def _build_vocabulary(path: Path, data_folder: Path, threshold: int, tokeniser: str) -> tuple[Vocabulary, Path | None]:
    files = [data_folder / "train_caps.txt", data_folder / "dev_caps.txt"]
    files = [files[0], *(file for file in files[1:] if file.exists())]
    vocabulary = Vocabulary.build(chain.from_iterable(map(read_captions, files)), threshold, tokeniser)
    built = f"vocabulary of {len(vocabulary)} words built from {' and '.join(file.name for file in files)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        vocabulary.save(path)
    except (InputError, OSError):
        warn(f"{built} is kept in memory only: {path} cannot be written")
        return vocabulary, None
    say(f"{built}: {path}")
    return vocabulary, path.parent
