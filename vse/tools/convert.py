"""`python -m vse convert`: convert published features of any form into a data set folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson
from tqdm import tqdm

from vse.console import say, warn
from vse.data.feature_writer import SplitFiles, to_dtype
from vse.data.index_writer import write_index, write_lines
from vse.data.listings import read_pictures
from vse.data.pairing import KINDS, pair
from vse.data.pictures import Pictures, evenly, first_of, merge_restval
from vse.data.sources.collection import Collection, collect
from vse.data.sources.open import open_source
from vse.errors import InputError
from vse.files import sha256, writable_folder, write_atomically
from vse.tools.options import ConvertOptions


def main(options: ConvertOptions) -> None:
    """Check all there is to check, then convert, and count what went where; on a mistake nothing half-written stays.

    Raises:
        InputError: a damaged source, ids that belong to nothing, missing images, implausible numbers.
    """
    if not options.sources:
        raise InputError("no feature files given; expected TSV, HDF5, LMDB, .npy or .npz files before the options")
    if options.captions is None and not re.fullmatch(r"\w+", options.split):
        raise InputError(f"--split {options.split}: expected letters, digits and underscores")
    splits = _splits(options)
    folder = writable_folder(options.out, "--out")
    for split in splits or (options.split,):
        path = folder / f"{split}_ims.npy"
        if path.exists() and not options.overwrite:
            raise InputError(f"{path}: is there already; add --overwrite to replace it, or give another --out")
    with ExitStack() as stack:
        sources = []
        for path in options.sources:
            source = open_source(path, options.fields, options.features_key, options.ids, options.dim, options.dtype_in)
            stack.callback(source.close)
            sources.append(source)
        images = collect(sources, options.axes, options.regions, options.trust)
        if splits:
            _convert_splits(splits, images, folder, options)
        else:
            _convert_all(images, folder, options)


def _splits(options: ConvertOptions) -> dict[str, Pictures]:
    if options.captions is None:
        return {}
    images = options.images or (options.captions if options.captions.is_dir() else options.captions.parent) / "images"
    splits = merge_restval(read_pictures(options.captions, images, seed=options.seed))
    even = {split: evenly(pictures, options.captions_per_image) for split, pictures in splits.items()}
    for split, pictures in even.items():
        if not pictures.names:
            raise InputError(
                f"{options.captions}: no {split} image has --captions_per_image {options.captions_per_image}"
            )
        captions = len(splits[split].captions) - len(pictures.captions)
        if captions:
            say(f"{split}: {captions:,} captions left out, {options.captions_per_image} an image kept")
    return even


def _convert_all(images: Collection, folder: Path, options: ConvertOptions) -> None:
    """Everything into one split, in the order of the sources."""
    rows: dict[str, int] = {}
    for entry in images.entries:
        rows.setdefault(entry.image, len(rows))
    where = [[(options.split, rows[entry.image])] for entry in images.entries]
    repeated = _write(
        {options.split: len(rows)},
        images,
        where,
        folder,
        options,
        lambda: _write_ids(list(rows), folder, options.split),
    )
    say(f"{options.split}: {len(rows):,} images, {_described(images, options)}")
    _account(images, [], repeated)


def _write_ids(images: list[str], folder: Path, split: str) -> None:
    """Write the ids of a split without captions: integers of the sources, else the rows, with names."""
    names = folder / f"{split}_names.txt"
    integers = [int(image) for image in images if re.fullmatch(r"[0-9]{1,18}", image)]
    if len(set(integers)) == len(images):
        write_lines(folder / f"{split}_ids.txt", list(map(str, integers)))
        names.unlink(missing_ok=True)
        return
    write_lines(folder / f"{split}_ids.txt", list(map(str, range(len(images)))))
    write_lines(names, [re.sub(r"[\x00-\x1f\x7f]", "?", image) for image in images])


def _convert_splits(splits: dict[str, Pictures], images: Collection, folder: Path, options: ConvertOptions) -> None:
    """Each image to the place that its split's captions give it."""
    known = {  # an image may be in two splits: COCO's test is part of testall
        (image_id, name): None
        for pictures in splits.values()
        for image_id, name in zip(pictures.ids.tolist(), pictures.names, strict=True)
    }
    ids, names = [image_id for image_id, _ in known], [name for _, name in known]
    files = f"{options.sources[0]}, {options.captions}"
    reading = pair(images.entries, names, ids, options.match, files)
    fitting = f"{reading.covered:,} of {len(names):,} images"
    kind = "id" if names == list(map(str, ids)) else reading.kind  # a folder without file names
    say(f"ids of the sources: {KINDS[kind]} (--match {kind}), {fitting}")
    keys_of_all = list(known)
    covered = {keys_of_all[place] for place in reading.picture.values()}
    kept: dict[str, Pictures] = {}
    rows: dict[tuple[int, str], list[tuple[str, int]]] = {}
    for split, pictures in splits.items():
        keys = list(zip(pictures.ids.tolist(), pictures.names, strict=True))
        present = np.array([key in covered for key in keys])
        kept[split] = _complete(split, pictures, present, options)
        for row, key in enumerate(key for key in keys if key in covered):
            rows.setdefault(key, []).append((split, row))
    where = [
        rows[keys_of_all[reading.picture[place]]] if place in reading.picture else []
        for place in range(len(images.entries))
    ]
    counts = {split: len(pictures.names) for split, pictures in kept.items()}
    repeated = _write(counts, images, where, folder, options, lambda: write_index(kept, folder))
    for split, pictures in kept.items():
        held = f"{len(pictures.names):,} images, {len(pictures.captions):,} captions"
        say(f"{split}: {held}, {_described(images, options)}")
    others = [entry.image for entry, places in zip(images.entries, where, strict=True) if not places]
    _account(images, others, repeated)


def _complete(split: str, pictures: Pictures, present: np.ndarray, options: ConvertOptions) -> Pictures:
    """Drop the images of a split that have no features, if the options allow it."""
    missing = [name for name, there in zip(pictures.names, present, strict=True) if not there]
    if not missing:
        return pictures
    count = f"no features for {len(missing):,} of {len(pictures.names):,} {split} images"
    if len(missing) == len(pictures.names):
        raise InputError(f"{options.sources[0]}: {count} of {options.captions}; give the files that hold them")
    if not options.drop_missing:
        raise InputError(
            f"{options.sources[0]}: {count} of {options.captions}: {first_of(missing)}; give all source files, or "
            "leave these images out with --drop_missing"
        )
    warn(f"{count}, left out with their captions: {first_of(missing)}")
    return pictures.keep(present)


def _write(
    counts: dict[str, int],
    images: Collection,
    where: list[list[tuple[str, int]]],
    folder: Path,
    options: ConvertOptions,
    write_companions: Callable[[], None],
) -> list[str]:
    """Write the features of each image to its splits and rows; return the images that came again, with equal features.

    Args:
        counts: split -> number of its images.
        where: of each image of the sources, the splits and rows that it goes to.
        write_companions: writes ids and captions. Features that were there are gone by then and the new ones come
            afterwards, so that a process that dies leaves no captions beside features of other images.

    Raises:
        InputError: implausible values, an image that comes twice with different features, or no room on the disk.
    """
    boxes, sizes = (images.entries[0].boxes is not None, images.entries[0].size is not None)
    files: dict[str, SplitFiles] = {}
    written: set[tuple[str, int]] = set()
    repeated, zero = [], []
    try:
        for split, rows in counts.items():
            files[split] = SplitFiles(
                folder, split, images.shape, options.dtype, boxes, sizes, rows, lengths=images.padded
            )
        for place, entry in enumerate(tqdm(images.entries, desc="converting", unit="image", disable=None)):
            if not where[place]:
                continue
            features = to_dtype(images.read(place), options.dtype, entry.where, options.trust)
            split, row = where[place][0]
            if (split, row) in written:
                if not np.array_equal(files[split].features.read(row), features):
                    raise InputError(
                        f"{entry.where}: image {entry.image!r} comes twice, with different features; remove one of them"
                    )
                repeated.append(entry.image)
                continue
            if not features.any():
                zero.append(entry.image)
            some = images.boxes(place)
            for split, row in where[place]:
                files[split].write(
                    row,
                    features[None],
                    None if some is None else some[None],
                    None if entry.size is None else np.array([entry.size]),
                    images.lengths[place : place + 1],
                )
                written.add((split, row))
        for split in counts:
            (folder / f"{split}_ims.npy").unlink(missing_ok=True)
        write_companions()
        record = _record(options)
        for split in counts:
            write_atomically(folder / f"{split}_ims.json", lambda file: file.write(record))
        for file in files.values():
            file.finish()
    finally:
        for file in files.values():
            file.discard()
    if zero:
        warn(f"{len(zero):,} images with features that are all zero, kept as they are: {first_of(zero)}")
    return repeated


def _record(options: ConvertOptions) -> bytes:
    """Record what `python -m vse check` compares and shows: the sources by content, and the flags that were given."""
    files = [path / "data.mdb" if path.is_dir() else path for path in options.sources]
    flags = ("match", "axes", "dtype_in", "regions", "captions_per_image", "drop_missing", "trust", "dtype")
    default = ConvertOptions((), options.out)
    return orjson.dumps(
        {
            "made_from": {str(file.resolve()): sha256(file) for file in files if file.is_file()},
            "by": {flag: getattr(options, flag) for flag in flags if getattr(options, flag) != getattr(default, flag)},
        },
        option=orjson.OPT_INDENT_2,
    )


def _described(images: Collection, options: ConvertOptions) -> str:
    if len(images.shape) == 1:
        return f"{images.shape[0]:,} dimensions, {options.dtype}"
    regions, dimensions = images.shape
    fewest = f"{images.lengths.min()} ... " if images.padded else ""
    padded = f"; padded to {regions} with zeros, *_ims_len.npy says how many are in use" if images.padded else ""
    return f"{fewest}{regions} regions of {dimensions:,} dimensions, {options.dtype}{padded}"


def _account(images: Collection, others: list[str], repeated: list[str]) -> None:
    """Say what became of every row of the sources."""
    parts = [f"{len(images.entries) - len(others) - len(repeated):,} written"]
    for names, what in (
        (others, "of no split"),
        (repeated, "repeated with equal features"),
        (images.faulty, "cut off"),
    ):
        if names:
            parts.append(f"{len(names):,} {what} ({first_of(names)})")
    say(f"rows of the sources: {len(images.entries) + len(images.faulty):,} = {' + '.join(parts)}")
