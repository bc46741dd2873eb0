"""Facts about a data set folder for `python -m vse check`; nothing is written."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vse.data.datasets import Split, holds_splits, open_split
from vse.data.features import FAULTS, Features, row_faults
from vse.data.index import SUBSETS, folder_pictures, read_lines, shared_images, splits_of
from vse.data.listings import raw_pictures
from vse.data.pictures import Pictures, first_of
from vse.data.sources.boxes import disordered, outside, relative
from vse.data.sources.layout import turned
from vse.errors import InputError
from vse.published.sizes import load_array, read_sizes
from vse.text.token_ids import MOST_UNKNOWN, TokenIds, encode, unknown_share
from vse.text.tokens import TOKENISERS
from vse.text.vocabulary import Vocabulary
from vse.tools.derived import derived_files

BLOCK_BYTES = 2**26

MOST_SHARED = 0.5
"""A split of which more captions stand in train as well, word by word, is no held-out split."""


@dataclass
class Findings:
    """Content and problems of a folder."""

    splits: list[dict[str, Any]] = field(default_factory=list)
    """Facts of each split; the keys are those of `_facts`."""
    derived: list[dict[str, str]] = field(default_factory=list)
    """Files that were made from others: file, made from, state."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Give the findings as plain values."""
        return asdict(self)


@dataclass
class _Part:
    """A split as it was read: with features, or with pictures, or neither."""

    name: str
    captions: list[str]
    caption_image: np.ndarray
    features: Features | None = None
    pictures: Pictures | None = None
    rows: dict[bytes, int] = field(default_factory=dict)
    """Digest of a feature row that is not zero -> its number."""


def inspect(folder: Path, data_name: str | None = None) -> Findings:
    """Look at every split and file of a data set folder, prepared or raw.

    Raises:
        InputError: a raw data set that cannot be read.
    """
    findings = Findings()
    parts = _parts(folder, data_name, findings)
    vocabulary = _vocabulary(folder, parts, findings)
    shared = [] if not holds_splits(folder) else shared_images(folder)
    train = next((set(part.captions) for part in parts if part.name == "train"), None)
    for part in parts:
        findings.splits.append(_facts(folder, part, vocabulary, train, findings))
    for first, second, names in shared:
        findings.problems.append(f"{folder}: {len(names)} images of {first} are in {second} as well: {first_of(names)}")
    shared += list(_shared_rows(parts, {(first, second) for first, second, _ in shared}, findings))
    for row in findings.splits:
        row["shared_images"] = {
            other: len(names)
            for pair in shared
            for one, other, names in (pair, (pair[1], pair[0], pair[2]))
            if one == row["split"]
        }
    findings.problems += _different_shapes(parts)
    for path in sorted(folder.glob("*_ims.npy")):
        if path.name.removesuffix("_ims.npy") not in {part.name for part in parts} | set(splits_of(folder)):
            findings.problems.append(f"{path}: no captions beside it; delete it, or make its *_caps.txt")
    findings.derived, outdated = derived_files(folder, vocabulary)
    findings.problems += outdated
    return findings


def _parts(folder: Path, data_name: str | None, findings: Findings) -> list[_Part]:
    """Read the splits; one that cannot be read is a problem."""
    if not holds_splits(folder):
        findings.notes.append(
            f"a raw data set; training, or python -m vse prepare {folder}, writes its captions and ids"
        )
        if any(folder.glob("*_ims.npy")):
            findings.problems.append(
                f"{folder}: features, but no *_caps.txt; python -m vse prepare {folder} writes them"
            )
        listed = raw_pictures(folder, data_name)
        return [_Part(name, split.captions, split.caption_image, None, split) for name, split in listed.items()]
    parts = []
    pictures: dict[str, Pictures] = {}
    for name in splits_of(folder):
        try:
            if (folder / f"{name}_ims.npy").exists():
                split: Split = open_split(folder, name)
                features = split.images if isinstance(split.images, Features) else None
                parts.append(_Part(name, split.captions, split.caption_image, features))
                continue
            pictures = pictures or folder_pictures(folder)
            parts.append(_Part(name, pictures[name].captions, pictures[name].caption_image, None, pictures[name]))
        except InputError as problem:
            if str(problem) not in findings.problems:
                findings.problems.append(str(problem))
    return parts


def _vocabulary(folder: Path, parts: Iterable[_Part], findings: Findings) -> Vocabulary | None:
    """Load the folder's vocabulary, or build in memory the one that training would build; None if neither can be."""
    for path in sorted([folder / "vocab.json", *folder.glob("*_vocab.json"), *folder.glob("*_vocab.pkl")]):
        if path.is_file():
            try:
                vocabulary = _any_tokeniser(path)
            except InputError as problem:
                findings.problems.append(str(problem))
                return None
            findings.notes.append(f"unknown words: by {path.name}")
            return vocabulary
    captions = [caption for part in parts if part.name in ("train", "dev") for caption in part.captions]
    try:
        vocabulary = Vocabulary.build(captions)
    except InputError as problem:
        findings.notes.append(f"unknown words: training would build no vocabulary, {problem}")
        return None
    findings.notes.append("unknown words: by the vocabulary that training would build")
    return vocabulary


def _any_tokeniser(path: Path) -> Vocabulary:
    """Load a vocabulary whatever tokeniser it names."""
    problems = []
    for tokeniser in TOKENISERS:
        try:
            return Vocabulary.load(path, tokeniser)
        except InputError as problem:
            problems.append(problem)
    raise problems[0]


def _facts(
    folder: Path, part: _Part, vocabulary: Vocabulary | None, train: set[str] | None, findings: Findings
) -> dict[str, Any]:
    counts = np.bincount(part.caption_image)
    unknown = None
    if vocabulary is not None:
        tokens: TokenIds = encode(part.captions, vocabulary)
        unknown = unknown_share(tokens, vocabulary.unknown)
        if unknown > MOST_UNKNOWN:
            findings.problems.append(
                f"{folder / part.name}_caps.txt: {unknown:.0%} of the words are unknown to the vocabulary; it belongs "
                "to other captions, or the captions do not separate their words by blanks"
            )
    in_train = None
    if train is not None and part.name not in ("train", "trainrestval"):
        in_train = sum(caption in train for caption in part.captions)
        if in_train > MOST_SHARED * len(part.captions):
            findings.problems.append(
                f"{folder / part.name}_caps.txt: {in_train} of {len(part.captions)} captions are in train, word by "
                "word; check that the split holds other images"
            )
    features = pictures = boxes = None
    if part.features is not None:
        features = _feature_facts(part, part.features, findings)
        boxes = _boxes(folder, part, part.features, findings)
    if part.pictures is not None:
        missing = [str(path) for path in part.pictures.paths if not path.is_file()]
        pictures = {"folder": str(part.pictures.folder), "missing": len(missing)}
        if missing:
            findings.problems.append(
                f"{missing[0]}: no such picture, and {len(missing) - 1} more of {len(part.pictures.names)} of "
                f"{part.name} are missing; complete the folder, or leave them out with --skip_broken"
            )
    return {
        "split": part.name,
        "images": len(counts),
        "captions": len(part.captions),
        "captions_per_image": {"min": int(counts.min()), "median": float(np.median(counts)), "max": int(counts.max())},
        "empty_captions": sum(not caption for caption in part.captions),
        "unknown_words": unknown,
        "captions_in_train": in_train,
        "shared_images": {},
        "features": features,
        "pictures": pictures,
        "boxes": boxes,
        "ids": _ids(folder, part, findings),
    }


def _feature_facts(part: _Part, features: Features, findings: Findings) -> dict[str, Any]:
    """Read all rows: NaN or infinity (training refuses them), zeros, and a digest of every other row."""
    array = features.array
    block = max(1, BLOCK_BYTES // max(1, array[0].nbytes))
    found: dict[str, list[int]] = {fault: [] for fault in FAULTS}
    for first in tqdm(range(0, len(array), block), desc=f"reading {features.path.name}", disable=None, leave=False):
        raw = np.ascontiguousarray(array[first : first + block])
        faults = row_faults(features, first, raw)
        for fault, rows in faults.items():
            found[fault] += (first + np.flatnonzero(rows)).tolist()
        for row in np.flatnonzero(~faults["zero"]).tolist():
            part.rows.setdefault(hashlib.blake2b(raw[row].data, digest_size=8).digest(), first + row)
    for fault, (what, remedy) in FAULTS.items():
        if found[fault]:
            findings.problems.append(f"{features.path}: {len(found[fault])} {what}, first {found[fault][0]}; {remedy}")
    if array.ndim == 3 and turned(array.shape[1:]):
        findings.problems.append(
            f"{features.path}: {array.shape[1]} regions of {array.shape[2]} dimensions look like the reverse; "
            "python -m vse convert mends it"
        )
    lengths = features.lengths
    return {
        "shape": list(features.shape),
        "regions": None if lengths is None else {"min": int(lengths.min()), "max": int(lengths.max())},
        "dtype": str(array.dtype),
        "rows_per_image": features.repeat,
        **{fault: len(numbers) for fault, numbers in found.items()},
    }


def _shared_rows(
    parts: list[_Part], known: set[tuple[str, str]], findings: Findings
) -> Iterator[tuple[str, str, list[str]]]:
    """Find equal feature rows in two splits whose ids do not tell that they share images."""
    for first, second in combinations(parts, 2):
        pair = first.name, second.name
        equal = first.rows.keys() & second.rows.keys()
        if equal and set(pair) not in SUBSETS and not {pair, pair[::-1]} & known:
            rows = sorted(first.rows[digest] for digest in equal)
            findings.problems.append(
                f"{len(equal)} feature rows of {pair[0]} are in {pair[1]} as well: "
                f"{first_of([str(row) for row in rows])}; give splits without common images"
            )
            yield *pair, [str(row) for row in rows]


def _different_shapes(parts: list[_Part]) -> Iterator[str]:
    """Find splits whose images have another shape than those of the first split with features."""
    shapes = {part.name: part.features.shape for part in parts if part.features is not None}
    first = next(iter(shapes), None)
    for name, shape in shapes.items():
        if first is not None and shape != shapes[first]:
            yield (
                f"an image of {name} has shape {list(shape)}, one of {first} {list(shapes[first])}; make the features "
                "of all splits in one way"
            )


def _boxes(folder: Path, part: _Part, features: Features, findings: Findings) -> str | None:
    """Check boxes and sizes against the features."""
    rows = len(features.array)
    sizes = None
    for suffix in ("ims_size.npy", "ims_bbx.npy"):
        path = folder / f"{part.name}_{suffix}"
        if not path.exists():
            continue
        try:
            array = read_sizes(path) if suffix == "ims_size.npy" else load_array(path)
        except InputError as problem:
            findings.problems.append(str(problem))
            continue
        if suffix == "ims_bbx.npy" and (array.shape[1:] != (features.shape[0], 4) or array.dtype.kind not in "fiu"):
            findings.problems.append(
                f"{path}: {list(array.shape)} {array.dtype}; expected numbers [images, {features.shape[0]}, 4], x1 y1 "
                "x2 y2"
            )
        elif len(array) not in (rows, rows // features.repeat):
            findings.problems.append(f"{path}: {len(array)} rows; expected one for each of the {rows} feature rows")
        elif suffix == "ims_size.npy":
            sizes = array
        else:
            findings.problems += _box_problems(path, array, sizes)
            return f"{array.shape[1]} in {'pixels' if len(array) and np.max(array[0]) > 1 else '0 ... 1'}"
    return None


def _box_problems(path: Path, boxes: np.ndarray, sizes: np.ndarray | None) -> Iterator[str]:
    corners = np.asarray(boxes, dtype=np.float32)
    wrong = disordered(corners).any(1)
    if sizes is not None and len(sizes) == len(corners) and not relative(corners):
        wrong |= outside(corners, sizes[:, None]).any(1)
    if wrong.any():
        yield (
            f"{path}: {int(wrong.sum())} images with boxes that are not within the picture, first "
            f"{int(wrong.argmax())}; expected x1 y1 x2 y2 in pixels"
        )


def _ids(folder: Path, part: _Part, findings: Findings) -> str | None:
    """Count the lines of ids and names, which must be one for each image or caption."""
    images, captions = int(part.caption_image[-1]) + 1, len(part.captions)
    found = []
    for what in ("ids", "names", "cap_ids"):
        path = folder / f"{part.name}_{what}.txt"
        if path.exists():
            try:
                lines = read_lines(path)
            except InputError as problem:
                findings.problems.append(str(problem))
                continue
            count = len(lines)
            rows = len(part.features.array) if part.features is not None else images
            unit = f"{captions} captions" if what == "cap_ids" else f"{images} images"
            if count not in ((captions,) if what == "cap_ids" else (images, captions, rows)):
                findings.problems.append(f"{path}: {count} lines; expected one for each of the {unit}")
            again = [line for line, times in Counter(lines).items() if times > 1]
            if again and count == (captions if what == "cap_ids" else images):
                findings.problems.append(
                    f"{path}: {len(again)} lines come more than once: {first_of(again)}; expected another one for each "
                    f"of the {unit}"
                )
            found.append({"ids": "images", "names": "names", "cap_ids": "captions"}[what])
    return ", ".join(found) or None
