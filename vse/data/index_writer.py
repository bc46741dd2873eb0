"""Write the index of a data set folder, and the record of the source of each split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from vse.console import say, warn
from vse.data.index import ENDINGS, MAPPING, RECORD, read_lines, read_record, shared_images, splits_of
from vse.data.pictures import PLACE, Pictures
from vse.errors import InputError
from vse.files import read_json, sha256, write_atomically


def write_index(splits: dict[str, Pictures], folder: Path) -> None:
    """Write captions, ids and names of the splits into a data set folder, and the record of what they were made from.

    Splits that an earlier call made from the same files, and that these no longer hold, are removed. Features are left
    alone.

    Raises:
        InputError: the folder cannot be written, or an id there belongs to another picture.
    """
    record = read_record(folder)
    outdated = _outdated(record, splits, folder)
    kept = {split: entry for split, entry in record.items() if split not in splits and split not in outdated}
    mapping = _joined_mapping(splits, folder)
    images = next(iter(splits.values())).folder
    captions = {split: "".join(f"{line}\n" for line in pictures.captions) for split, pictures in splits.items()}
    entries = {split: _entry(pictures, captions[split], folder) for split, pictures in splits.items()}
    _write_record(folder, {**kept, **{split: {**entry, "unfinished": True} for split, entry in entries.items()}})
    if mapping:
        write_atomically(folder / MAPPING, lambda file: file.write(orjson.dumps(mapping)))
    if images.is_dir():
        place = orjson.dumps({"images": str(images.resolve())})
        write_atomically(folder / PLACE, lambda file: file.write(place))
    for split, pictures in splits.items():
        _write_companions(split, pictures, folder)
    for split, pictures in splits.items():  # last, for they make a folder a data set
        write_lines(folder / f"{split}_caps.txt", pictures.captions)
    for split in outdated:
        for ending in ENDINGS:
            (folder / f"{split}_{ending}").unlink(missing_ok=True)
        sources = ", ".join(record[split]["made_from"])
        say(f"{folder}: the {split} split of an earlier call removed, {sources} holds none any more")
    _write_record(folder, {**kept, **entries})
    warn_of_shared_images(folder)


def warn_of_shared_images(folder: Path) -> None:
    """Warn where images of one split are in another as well."""
    for first, second, shared in shared_images(folder):
        warn(f"{folder}: {len(shared)} images of {first} are in {second} as well, first {shared[0]}")


def require_no_other_features(splits: Mapping[str, Pictures], folder: Path) -> None:
    """Refuse to write captions beside features that were made for other images, or in another order.

    Raises:
        InputError: `{split}_ims.npy` is there, and `{split}_ids.txt` or `{split}_names.txt` tell other images.
    """
    for split, pictures in splits.items():
        if not (folder / f"{split}_ims.npy").exists():
            continue
        wanted = {"ids": [str(image_id) for image_id in pictures.ids.tolist()], "names": pictures.names}
        for what in ("ids", "names"):
            path = folder / f"{split}_{what}.txt"
            if path.is_file() and read_lines(path) != wanted[what]:
                raise InputError(
                    f"{folder}: holds features of other images than the captions of {split}; give another --out, or "
                    f"delete {split}_ims.npy"
                )


def _outdated(record: Mapping[str, Any], splits: Mapping[str, Pictures], folder: Path) -> list[str]:
    """List the recorded splits that were made from the sources of the new ones and are not among these."""
    sources = {os.path.realpath(source) for pictures in splits.values() for source in pictures.sources}
    return [
        split
        for split, entry in record.items()
        if split not in splits
        and entry["made_from"]
        and {os.path.realpath(folder / source) for source in entry["made_from"]} <= sources
    ]


def _joined_mapping(splits: Mapping[str, Pictures], folder: Path) -> dict[str, str]:
    """Join the names of these splits with those of other splits that stay in the folder."""
    mapping: dict[str, str] = {}
    for pictures in splits.values():
        if pictures.named:
            mapping |= dict(zip(map(str, pictures.ids.tolist()), pictures.names, strict=True))
    others = [split for split in splits_of(folder) if split not in splits]
    former = read_json(folder / MAPPING) if others and (folder / MAPPING).is_file() else {}
    for split in others:
        path = folder / f"{split}_ids.txt"
        for image_id in read_lines(path) if path.is_file() else ():
            name = former.get(image_id)
            if name is not None and mapping.setdefault(image_id, name) != name:
                raise InputError(
                    f"{folder}: id {image_id} is {name} in the {split} split that is there, {mapping[image_id]} in the "
                    "new one; give another --out"
                )
    return mapping


def _entry(pictures: Pictures, captions: str, folder: Path) -> dict[str, Any]:
    made_from = {}
    for source in pictures.sources:
        place = Path(os.path.realpath(source))
        own = place.parent == Path(os.path.realpath(folder)) and place.name.endswith(ENDINGS)
        if place.is_file() and not own:
            near = place.is_relative_to(os.path.realpath(folder))
            made_from[os.path.relpath(place, os.path.realpath(folder)) if near else str(place)] = sha256(place)
    return {
        "made_from": made_from,
        "by": dict(pictures.by),
        "images": len(pictures.names),
        "captions": len(pictures.captions),
        "sha256": hashlib.sha256(captions.encode()).hexdigest(),
    }


def _write_companions(split: str, pictures: Pictures, folder: Path) -> None:
    write_lines(folder / f"{split}_ids.txt", [str(image_id) for image_id in pictures.ids.tolist()])
    if pictures.named:
        write_lines(folder / f"{split}_names.txt", pictures.names)
    if pictures.caption_ids is not None:
        write_lines(folder / f"{split}_cap_ids.txt", [str(caption_id) for caption_id in pictures.caption_ids.tolist()])
    if not pictures.even:
        path = folder / f"{split}_caption_image.npy"
        write_atomically(path, lambda file: np.save(file, pictures.caption_image))
    for ending, there in (
        ("names.txt", pictures.named),
        ("cap_ids.txt", pictures.caption_ids is not None),
        ("caption_image.npy", not pictures.even),
    ):
        if not there:
            (folder / f"{split}_{ending}").unlink(missing_ok=True)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file, a line each.

    Raises:
        InputError: the folder cannot be written.
    """
    content = "".join(f"{line}\n" for line in lines).encode()
    write_atomically(path, lambda file: file.write(content))


def _write_record(folder: Path, splits: Mapping[str, Any]) -> None:
    content = orjson.dumps({"splits": splits}, option=orjson.OPT_INDENT_2)
    write_atomically(folder / RECORD, lambda file: file.write(content))


def changed_sources(folder: Path) -> dict[str, list[str]]:
    """Compare the sources of a folder's splits with the record -> source that has changed: the splits made from it.

    Sources that are no longer there are not compared.
    """
    now: dict[str, str | None] = {}
    changed: dict[str, list[str]] = {}
    for split, entry in read_record(folder).items():
        if entry.get("unfinished"):
            changed.setdefault(next(iter(entry["made_from"]), RECORD), []).append(split)
        for source, digest in entry["made_from"].items():
            if source not in now:
                now[source] = sha256(folder / source) if (folder / source).is_file() else None
            if now[source] not in (None, digest):
                changed.setdefault(source, []).append(split)
    return changed


def edited_captions(folder: Path) -> list[Path]:
    """List the caption files of a folder that were edited after `write_index` wrote them."""
    files = {folder / f"{split}_caps.txt": entry for split, entry in read_record(folder).items()}
    return [
        path
        for path, entry in files.items()
        if path.is_file() and not entry.get("unfinished") and sha256(path) != entry["sha256"]
    ]
