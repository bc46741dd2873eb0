"""Derived files of a data set: their sources, and whether these have changed since."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vse.data.index import RECORD, folder_pictures, read_record
from vse.data.index_writer import edited_captions
from vse.data.pictures import Pictures
from vse.descriptions.store import ARRAY, TEXT, load
from vse.descriptions.store import read_record as read_descriptions_record
from vse.errors import InputError
from vse.files import read_json, sha256
from vse.text.captions import read_captions
from vse.text.token_ids import cache_file
from vse.text.vocabulary import Vocabulary

UP_TO_DATE, OUTDATED, GONE, UNKNOWN = "up to date", "outdated", "source is gone", "not known"

MOST_BYTES = 2**20
"""Larger JSON files are data, not records."""

FEATURES = "features.json"
"""The record of `python -m vse features`."""


@dataclass
class Derived:
    """A file that was made from others."""

    file: str
    made_from: Mapping[str, str | None] = field(default_factory=dict)
    """Source, relative to the folder -> the SHA-256 that it had then, or None: not known."""
    by: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that it was made with."""
    state: str | None = None
    """What its sources do not tell."""
    remedy: str | None = "make it again"
    """What to do where it is outdated; None: nothing, it will not be read."""


def derived_files(folder: Path, vocabulary: Vocabulary | None) -> tuple[list[dict[str, str]], list[str]]:
    """List the derived files of a folder.

    Args:
        vocabulary: what the captions are read with, to know which kept token ids belong to it.

    Returns:
        For each file a row of file, made from, by (parameters) and state; and a sentence for each that is outdated.
    """
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    hashes: dict[str, str | None] = {}
    for derived in _all(folder, vocabulary, problems):
        for source in derived.made_from:
            if source not in hashes:
                hashes[source] = sha256(folder / source) if (folder / source).is_file() else None
        changed = [
            source for source, digest in derived.made_from.items() if digest and hashes[source] not in (None, digest)
        ]
        gone = [source for source in derived.made_from if hashes[source] is None]
        state = derived.state or (
            OUTDATED if changed else GONE if gone else UP_TO_DATE if derived.made_from else UNKNOWN
        )
        rows.append(
            {
                "file": derived.file,
                "made from": ", ".join(derived.made_from) or UNKNOWN,
                "by": ", ".join(f"{name} {value}" for name, value in derived.by.items()),
                "state": state,
            }
        )
        if state == OUTDATED and derived.remedy is not None:
            what = f"made from {', '.join(changed)}, which has changed since" if changed else "made from other captions"
            problems.append(f"{folder / derived.file}: {what}; {derived.remedy}")
    return rows, problems


def _all(folder: Path, vocabulary: Vocabulary | None, problems: list[str]) -> Iterator[Derived]:
    yield from _index(folder)
    yield from _vocabularies(folder, problems)
    yield from _descriptions(folder, problems)
    yield from _features(folder, problems)
    yield from _other_records(folder, problems)
    yield from _token_ids(folder, vocabulary)


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a JSON object; {} if the file holds something else, which is a problem if it is no JSON."""
    try:
        content = read_json(path)
    except InputError as problem:
        problems.append(str(problem))
        return {}
    return content if isinstance(content, dict) else {}


def _index(folder: Path) -> Iterator[Derived]:
    edited = edited_captions(folder)
    for split, entry in read_record(folder).items():
        state = "edited since" if folder / f"{split}_caps.txt" in edited else None
        state = OUTDATED if entry.get("unfinished") else state
        yield Derived(
            f"{split}_caps.txt",
            entry["made_from"],
            entry["by"],
            state,
            f"run what made it again, or delete {RECORD} to keep it",
        )


def _vocabularies(folder: Path, problems: list[str]) -> Iterator[Derived]:
    for path in sorted({*folder.glob("vocab.json"), *folder.glob("*_vocab.json")}):
        fields = _json(path, problems)
        made_from = fields.get("made_from")
        by = {name: fields[name] for name in ("threshold", "tokeniser") if fields.get(name) is not None}
        yield Derived(
            path.name, made_from if isinstance(made_from, dict) else {}, by, remedy="training builds it again"
        )


def _descriptions(folder: Path, problems: list[str]) -> Iterator[Derived]:
    captions = folder / "train_caps.txt"
    there = [name for name in (TEXT, ARRAY) if (folder / name).exists()]
    if not there or not captions.is_file():
        return
    try:
        record = read_descriptions_record(folder)
        load(folder, captions, len(read_captions(captions)), keep=False)
        state = None
    except InputError as problem:
        problems.append(str(problem))
        record, state = {}, OUTDATED
    made_from = {captions.name: record["captions_sha256"]} if record else {}
    by: dict[str, Any] = {name: record[name] for name in ("solver", "components") if name in record}
    yield Derived(there[0], made_from, by, state, None)


def _features(folder: Path, problems: list[str]) -> Iterator[Derived]:
    """Compare the names, captions and ids with the digests in the record of the extracted features."""
    path = folder / FEATURES
    if not path.is_file():
        return
    record = _json(path, problems)
    splits = record.get("splits")
    if not isinstance(splits, dict):
        return
    listed: dict[str, Pictures] = {}
    with contextlib.suppress(InputError):  # which is reported where the splits are read
        listed = folder_pictures(folder, folder)
    same = all(split in listed and listed[split].digest == entry.get("sha256") for split, entry in splits.items())
    by: dict[str, Any] = {name: record[name] for name in ("model", "weights") if name in record}
    yield Derived(FEATURES, {}, by, UP_TO_DATE if same else OUTDATED, "extract the features again, into a new folder")


def _other_records(folder: Path, problems: list[str]) -> Iterator[Derived]:
    """Any other JSON file with `made_from`: source -> SHA-256."""
    known = {RECORD, FEATURES, "train_svd.json"}
    for path in sorted(folder.glob("*.json")):
        if path.name in known or path.name.endswith("vocab.json") or path.stat().st_size > MOST_BYTES:
            continue
        content = _json(path, problems)
        made_from = content.get("made_from")
        if "captions_sha256" in content:  # description vectors of other kinds
            made_from = {"train_caps.txt": content["captions_sha256"]}
        if isinstance(made_from, dict) and all(isinstance(digest, str) for digest in made_from.values()):
            by = content.get("by")
            yield Derived(path.name, made_from, by if isinstance(by, dict) else {})


def _token_ids(folder: Path, vocabulary: Vocabulary | None) -> Iterator[Derived]:
    kept = {path.name for path in folder.glob("*_caps_ids_*.npz")}
    if not kept:
        return
    current: dict[str, str] = {}
    if vocabulary is not None:
        for captions in sorted(folder.glob("*_caps.txt")):
            current[cache_file(folder / captions.stem, read_captions(captions), vocabulary).name] = captions.name
    for name in sorted(kept):
        made_from = {current[name]: None} if name in current else {}
        state = UP_TO_DATE if made_from else "of other captions or another vocabulary, not read"
        yield Derived(name, made_from, {}, state, None)
