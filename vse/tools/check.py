"""`python -m vse check PATH`: what a data set folder holds, what is wrong with it, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tabulate import tabulate
from tqdm import tqdm

from vse.data.datasets import Split, find_data_set, open_split
from vse.data.features import Features
from vse.descriptions.store import load as load_descriptions
from vse.errors import InputError
from vse.published.sets import PUBLISHED_SETS
from vse.published.sizes import load_array, read_sizes

BLOCK_BYTES = 2**26


@dataclass
class Options:
    """Check a data set: files, row counts, captions per image, broken rows, description vectors."""

    path: Annotated[str, tyro.conf.Positional]
    """Folder of the data set, or the folder that holds it."""
    data_name: str | None = None
    """Data set under PATH, when PATH holds several."""


def main(options: Options) -> None:
    """Print a table of the splits and one line per problem; exit status 2 if there is any."""
    folder = find_data_set(options.path, options.data_name)
    names = sorted(path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt"))
    rows, problems = [], []
    counts: dict[str, tuple[int, int]] = {}
    for name in sorted(names, key=_SPLIT_ORDER.get):  # type: ignore[arg-type]
        try:
            split = open_split(folder, name)
        except InputError as problem:
            problems.append(str(problem))
            continue
        counts[name] = (len(split.images), len(split.captions))
        rows.append(_row(split))
        problems += _broken_rows(split)
        problems += _companions(folder, split)
    print(f"{folder}\n{tabulate(rows, headers='keys')}")
    problems += _descriptions(folder, counts)
    print(_recognised(counts))
    for sentence in problems:
        print(f"problem: {sentence}")
    if problems:
        sys.exit(2)
    print("no problems found")


class _Order(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return len(self)


_SPLIT_ORDER = _Order(train=0, dev=1, test=2, testall=3)


def _row(split: Split) -> dict[str, object]:
    features = split.images
    assert isinstance(features, Features)
    return {
        "split": split.name,
        "images": len(features),
        "captions": len(split.captions),
        "per image": f"{split.captions_per_image:g}",
        "features": f"{list(features.array.shape)} {features.array.dtype}",
        "rows per image": features.repeat,
        "empty captions": sum(not caption for caption in split.captions),
    }


def _broken_rows(split: Split) -> Iterator[str]:
    """Rows with NaN or infinity (a problem: training refuses them) and all-zero rows."""
    features = split.images
    assert isinstance(features, Features)
    array = features.array
    block = max(1, BLOCK_BYTES // max(1, array[0].nbytes))
    not_finite: list[int] = []
    zero: list[int] = []
    for first in tqdm(range(0, len(array), block), desc=f"reading {features.path.name}", disable=None, leave=False):
        part = np.asarray(array[first : first + block], dtype=np.float32).reshape(-1, int(np.prod(features.shape)))
        largest = np.abs(part).max(axis=1)  # NaN and infinity survive the maximum
        not_finite += (first + np.flatnonzero(~np.isfinite(largest))).tolist()
        zero += (first + np.flatnonzero(largest == 0)).tolist()
    if not_finite:
        yield (
            f"{features.path}: {len(not_finite)} rows with NaN or infinity, first {not_finite[0]}; "
            "extract the features of those images again"
        )
    if zero:
        yield (
            f"{features.path}: {len(zero)} all-zero rows, first {zero[0]}; "
            "the extraction failed for those images, run it again or leave the images out"
        )


def _companions(folder: Path, split: Split) -> Iterator[str]:
    """Boxes, sizes, ids and names, when there are any, must have a row for every image."""
    features = split.images
    assert isinstance(features, Features)
    rows = len(features.array)
    for suffix in ("ims_bbx.npy", "ims_size.npy"):
        path = folder / f"{split.name}_{suffix}"
        if not path.exists():
            continue
        try:
            length = len(read_sizes(path) if suffix == "ims_size.npy" else load_array(path))
        except InputError as problem:
            yield str(problem)
            continue
        if length != rows:
            yield f"{path}: {length} rows; expected one for each of the {rows} feature rows"
    for suffix in ("ids.txt", "names.txt"):
        path = folder / f"{split.name}_{suffix}"
        if path.exists():
            length = len(path.read_text(encoding="utf-8", errors="replace").splitlines())
            if length not in (rows, len(features), len(split.captions)):
                yield f"{path}: {length} lines; expected one for each of the {len(features)} images"


def _descriptions(folder: Path, counts: dict[str, tuple[int, int]]) -> Iterator[str]:
    if "train" not in counts:
        return
    if not any((folder / f"train_svd{suffix}").exists() for suffix in (".npy", ".txt")):
        print("description vectors: none yet; training with LSEH makes them")
        return
    try:
        vectors = load_descriptions(folder, folder / "train_caps.txt", counts["train"][1])
        print(f"description vectors: {list(vectors.shape)}")
    except InputError as problem:
        yield str(problem)


def _recognised(counts: dict[str, tuple[int, int]]) -> str:
    for name, published in PUBLISHED_SETS.items():
        shared = [split for split in counts if published.get(split) == counts[split]]
        if "train" in shared:
            missing = [split for split in published if split not in shared]
            return f"the counts of {name}" + (f", without a whole {', '.join(missing)}" if missing else ", complete")
    return "counts of none of the published data sets"
