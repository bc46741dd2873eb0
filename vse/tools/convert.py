"""`python -m vse convert`: features from bottom-up-attention TSV, HDF5 or LMDB files into a data set folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tqdm import tqdm

from vse.console import say, warn
from vse.data.feature_sources import Row, read_rows
from vse.data.feature_writer import SplitFiles, to_dtype
from vse.data.listings import read_pictures
from vse.data.pictures import Pictures, evenly, merge_restval, write_index, write_lines
from vse.errors import InputError
from vse.files import writable_folder

SAMPLE = 100
"""Rows that are looked at to find out what their ids mean."""


@dataclass
class Options:
    """Convert features (bottom-up-attention TSV, HDF5, LMDB) to memory-mapped .npy files with ids and boxes."""

    sources: Annotated[list[Path], tyro.conf.Positional]
    """Feature files: TSV (several parts in a row), HDF5, or an LMDB file or folder; one kind."""
    out: Path
    """Data set folder to write."""
    captions: Path | None = None
    """Karpathy JSON, caption table or data set folder with the splits; without it all images make one, in order."""
    images: Path | None = None
    """Folder of the pictures, only noted for later; default: where the captions lie."""
    split: str = "train"
    """Name of the one split, without --captions."""
    match: Literal["auto", "id", "name", "stem", "number"] = "auto"
    """What ids in the sources are to --captions: image id, file name, file name without suffix, number at its end."""
    dtype: Literal["float32", "float16"] = "float32"
    """Precision of the features; boxes stay float32."""
    regions: int | None = None
    """Keep so many regions, the first ones, of images that have more."""
    captions_per_image: int | None = None
    """Keep so many captions of each image, leave images with fewer out; default: the smallest number in the split."""
    drop_missing: bool = False
    """Leave images of --captions without features out, with their captions, and count them."""
    fields: str = "image_id,image_w,image_h,num_boxes,boxes,features"
    """Columns of a TSV file, in order; others than these names are ignored."""
    features_key: str | None = None
    """Name of the features in HDF5 or in LMDB's .npz values; default: one of the usual names."""
    dim: int | None = None
    """LMDB values are bare float32 numbers, so many for each region."""
    seed: int = 0
    """Seed of the splits, for a caption table that names none."""
    overwrite: bool = False
    """Replace feature files that are there."""


def main(options: Options) -> None:
    """Convert, report counts; on a mistake nothing half-written stays.

    Raises:
        InputError: a damaged source, ids that belong to nothing, missing images, names that lead out of the folder.
    """
    if not options.sources:
        raise InputError("no feature files given; expected TSV, HDF5 or LMDB files before the options")
    if options.captions is None and not re.fullmatch(r"\w+", options.split):
        raise InputError(f"--split {options.split}: expected letters, digits and underscores")
    splits = _splits(options)
    folder = writable_folder(options.out, "--out")
    for split in splits or (options.split,):
        path = folder / f"{split}_ims.npy"
        if path.exists() and not options.overwrite:
            raise InputError(f"{path}: is there already; add --overwrite to replace it, or give another --out")
    columns = options.fields.split(",")
    rows = chain.from_iterable(read_rows(path, columns, options.features_key, options.dim) for path in options.sources)
    try:
        first = next(rows)
    except StopIteration:
        raise InputError(f"{options.sources[0]}: holds no features; expected one row per image") from None
    writers = _Writers(folder, options, first)
    try:
        if splits:
            _convert_splits(splits, chain([first], rows), writers, options)
        else:
            _convert_all(chain([first], rows), writers, options)
    finally:
        writers.discard()


def _splits(options: Options) -> dict[str, Pictures]:
    if options.captions is None:
        return {}
    images = options.images or (options.captions if options.captions.is_dir() else options.captions.parent) / "images"
    splits = merge_restval(read_pictures(options.captions, images, seed=options.seed))
    even = {split: evenly(pictures, options.captions_per_image) for split, pictures in splits.items()}
    for split, pictures in even.items():
        images_gone = len(splits[split].names) - len(pictures.names)
        captions_gone = len(splits[split].captions) - len(pictures.captions)
        if captions_gone:
            kept = len(pictures.captions) // max(1, len(pictures.names))
            say(f"{split}: {kept} captions an image; {captions_gone} captions and {images_gone} images left out")
    return even


class _Writers:
    """The files of each split, opened when its first row comes: all rows must be like the first."""

    def __init__(self, folder: Path, options: Options, first: Row) -> None:
        self.folder, self.options, self.first = folder, options, first
        features = self._cut(first.features, first)
        self.shape = features.shape
        self.files: dict[str, SplitFiles] = {}
        self.zero_boxes = 0

    def open(self, split: str, rows: int | None) -> None:
        boxes, sizes = self.first.boxes is not None, self.first.size is not None
        self.files[split] = SplitFiles(self.folder, split, self.shape, self.options.dtype, boxes, sizes, rows)

    def _cut(self, values: np.ndarray, row: Row) -> np.ndarray:
        regions = self.options.regions
        if regions is None or row.features.ndim == 1:
            return values
        if len(values) < regions:
            raise InputError(
                f"{row.where}: {len(values)} regions; --regions {regions} asks for more than that, lower it"
            )
        return values[:regions]

    def checked(self, row: Row) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Features, boxes and size of a row as its files take them, each [1, ...]."""
        features = self._cut(row.features, row)
        if features.shape != self.shape:
            advice = ""
            if features.ndim == 2 and features.shape[1:] == self.shape[1:]:
                advice = f"; keep as many of each image with --regions {min(len(features), self.shape[0])} or fewer"
            raise InputError(
                f"{row.where}: features {list(features.shape)} after {list(self.shape)} in the images before{advice}"
            )
        if row.size is not None and not (np.isfinite(row.size).all() and min(row.size) > 0):
            raise InputError(f"{row.where}: image of {row.size[0]:g} x {row.size[1]:g} pixels; expected its true size")
        features = to_dtype(features, self.options.dtype, row.where)
        for what, value, before in (("boxes", row.boxes, self.first.boxes), ("size", row.size, self.first.size)):
            if (value is None) != (before is None):
                raise InputError(f"{row.where}: {what} for some images only; expected them for all or for none")
        return features[None], self._boxes(row), None if row.size is None else np.array([row.size], dtype=np.float32)

    def _boxes(self, row: Row) -> np.ndarray | None:
        if row.boxes is None:
            return None
        boxes = self._cut(row.boxes, row)
        if boxes.shape != (self.shape[0], 4) or boxes.dtype.kind not in "fiu":
            raise InputError(
                f"{row.where}: boxes {list(boxes.shape)} {boxes.dtype}; expected {[self.shape[0], 4]} numbers"
            )
        extent = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
        if not (extent >= 0).all():  # NaN fails as well
            raise InputError(f"{row.where}: a box with NaN or with its right or lower edge first; expected x1 y1 x2 y2")
        self.zero_boxes += int((extent == 0).any(axis=1).sum())
        return boxes[None]

    def report(self) -> None:
        if self.zero_boxes:
            warn(f"{self.zero_boxes} boxes have no area; they are kept as they are")

    def discard(self) -> None:
        for files in self.files.values():
            files.discard()
        self.files = {}

    def finish(self, split: str, rows: int) -> None:
        self.files.pop(split).finish(rows)


def _convert_all(rows: Iterator[Row], writers: _Writers, options: Options) -> None:
    """Everything into one split, in the order of the sources."""
    split = options.split
    writers.open(split, None)
    places: dict[str, int] = {}
    repeated = 0
    for row in tqdm(rows, desc="converting", unit="image", disable=None):
        content = writers.checked(row)
        if row.image in places:
            repeated += _same(writers.files[split], places[row.image], content[0], row)
            continue
        places[row.image] = len(places)
        writers.files[split].write(places[row.image], *content)
    writers.report()
    writers.finish(split, len(places))
    integers = all(re.fullmatch(r"\d{1,18}", image) for image in places)
    ids = list(places) if integers else [str(row) for row in range(len(places))]
    write_lines(writers.folder / f"{split}_ids.txt", ids)
    if not integers:
        write_lines(writers.folder / f"{split}_names.txt", [re.sub(r"[\x00-\x1f\x7f]", "?", image) for image in places])
    say(f"{split}: {len(places)} images, {list(writers.shape)} {options.dtype}" + _repeated(repeated))


def _convert_splits(splits: dict[str, Pictures], rows: Iterator[Row], writers: _Writers, options: Options) -> None:
    """Each image to the place that its split's captions give it."""
    sample = list(islice(rows, SAMPLE))
    kind = _kind_of_ids(splits, sample, options)
    places: dict[str, list[tuple[str, int]]] = {}  # an image may be in two splits: COCO's test is part of testall
    for split, pictures in splits.items():
        keys = _KEYS[kind](pictures)
        if len(set(keys)) < len(keys):
            raise InputError(f"{options.captions}: --match {kind} gives several images one id; choose another --match")
        for number, key in enumerate(keys):
            places.setdefault(key, []).append((split, number))
        writers.open(split, len(keys))
    present = {split: np.zeros(len(pictures.names), dtype=bool) for split, pictures in splits.items()}
    repeated = others = 0
    with tqdm(total=len(places), desc="converting", unit="image", disable=None) as progress:
        for row in chain(sample, rows):
            found = places.get(_number(row.image) if kind in ("id", "number") else row.image)
            if found is None:
                others += 1
                continue
            content = writers.checked(row)
            split, number = found[0]
            if present[split][number]:
                repeated += _same(writers.files[split], number, content[0], row)
                continue
            for split, number in found:
                writers.files[split].write(number, *content)
                present[split][number] = True
            progress.update()
    kept = _complete(splits, present, writers, options)
    writers.report()
    for split, pictures in kept.items():
        writers.finish(split, len(pictures.names))
        counts = f"{len(pictures.names)} images, {len(pictures.captions)} captions"
        say(f"{split}: {counts}, {list(writers.shape)} {options.dtype}")
    write_index(kept, writers.folder)
    say(f"ids of the sources: {kind}; {others} images of no split passed over" + _repeated(repeated))


def _complete(
    splits: dict[str, Pictures], present: dict[str, np.ndarray], writers: _Writers, options: Options
) -> dict[str, Pictures]:
    """The splits without the images that have no features, if the options allow for any."""
    kept: dict[str, Pictures] = {}
    for split, pictures in splits.items():
        missing = np.flatnonzero(~present[split])
        if not len(missing):
            kept[split] = pictures
            continue
        count = f"{len(missing)} of {len(pictures.names)} {split} images"
        first = f"first {pictures.names[missing[0]]} (id {pictures.ids[missing[0]]})"
        if not options.drop_missing:
            raise InputError(
                f"{options.sources[0]}: no features for {count} of {options.captions}, {first}; give all source files, "
                "choose --match, or leave the images out with --drop_missing"
            )
        if len(missing) == len(pictures.names):
            raise InputError(f"{options.sources[0]}: no features for any of the {count}; give the files that hold them")
        warn(f"no features for {count}, {first}: left out with their captions")
        writers.files[split].keep(np.flatnonzero(present[split]))
        kept[split] = pictures.keep(present[split])
    return kept


def _same(files: SplitFiles, row: int, features: np.ndarray, again: Row) -> int:
    if not np.array_equal(files.features.read(row), features[0]):
        raise InputError(
            f"{again.where}: image {again.image!r} comes twice, with different features; remove one of them"
        )
    return 1


def _repeated(count: int) -> str:
    return f"; {count} repeated rows, equal to the first, passed over" if count else ""


def _number(text: str) -> str:
    """The number at the end of a name, without leading zeros; `text` itself if there is none."""
    digits = re.search(r"(\d+)(?:\.\w+)?$", text)
    return (digits[1].lstrip("0") or "0") if digits else text


_KEYS: dict[str, Callable[[Pictures], list[str]]] = {
    "id": lambda pictures: [str(image_id) for image_id in pictures.ids.tolist()],
    "name": lambda pictures: [Path(name).name for name in pictures.names],
    "stem": lambda pictures: [Path(name).stem for name in pictures.names],
    "number": lambda pictures: [_number(name) for name in pictures.names],
}
"""What an id in a feature file may be to a picture, in the order in which ties are decided."""


def _kind_of_ids(splits: dict[str, Pictures], sample: list[Row], options: Options) -> str:
    if options.match != "auto":
        return options.match
    hits = {}
    for kind, keys_of in _KEYS.items():
        keys = {key for pictures in splits.values() for key in keys_of(pictures)}
        hits[kind] = sum((_number(row.image) if kind in ("id", "number") else row.image) in keys for row in sample)
    best = max(hits, key=lambda kind: hits[kind])
    if not hits[best]:
        pictures = next(iter(splits.values()))
        raise InputError(
            f"{options.sources[0]}: none of the first {len(sample)} images ({sample[0].image!r}, ...) is one of "
            f"{options.captions} (id {pictures.ids[0]}, {pictures.names[0]}, ...); give the captions of these images"
        )
    return best
