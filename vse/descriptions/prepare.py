"""Find the description vectors of training captions that LSEH reads (SVD), or make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vse import REPOSITORY
from vse.console import say
from vse.descriptions.store import ARRAY, TEXT, belongs_to, load, read_record, save
from vse.errors import InputError
from vse.files import sha256
from vse.text.captions import read_captions


def prepare_svd(captions_file: Path, output: Path = REPOSITORY / "output") -> np.ndarray:
    """Find the vectors of the captions of a file, or make and keep them -> float32 [M, K].

    Candidates are the file's folder, then `output` and its subfolder of the data set's name, where vectors count only
    if they were made from these captions. Vectors in the file's folder that were made here from other captions are
    made again. New ones are kept in the first of these places that can be written to and holds no vectors of other
    captions.

    Raises:
        InputError: as `load` does.
    """
    folder = captions_file.parent
    captions = read_captions(captions_file)
    other_places = (output, output / folder.resolve().name)
    digest = sha256(captions_file)
    made = _outdated_record(folder, digest)
    if made is not None:
        say(f"{folder / TEXT}: made from other captions than {captions_file.name} holds now")
    elif _holds_vectors(folder):
        return load(folder, captions_file, len(captions))
    for place in other_places:
        if _holds_vectors(place) and read_record(place).get("captions_sha256") == digest:
            return load(place, captions_file, len(captions))
    from vse.descriptions.svd import fit  # its libraries take seconds to import

    say(f"{folder / TEXT}: made from {captions_file.name} now, once")
    asked = {} if made is None else {"components": made["components"], "solver": made["solver"]}
    descriptions = fit(captions, source=captions_file, **asked)
    for place in (folder, *other_places):
        read_only = place.is_dir() and not place.stat().st_mode & 0o222  # root could write all the same
        if read_only or (place == output and _holds_vectors(place)):
            continue
        try:
            place.mkdir(parents=True, exist_ok=True)
            save(descriptions, place, captions_file)
        except (InputError, OSError):
            continue
        if place != folder:
            say(f"{folder}: cannot be written to, the vectors are kept in {place}")
        return load(place, captions_file, len(captions))
    say(f"{folder}, {output}: cannot be written to, the vectors are not kept")
    return descriptions.vectors


def _outdated_record(folder: Path, digest: str) -> dict[str, Any] | None:
    """Read how the vectors in a folder were made, if that was here and from other captions."""
    record = read_record(folder)
    text = folder / TEXT
    if "solver" not in record or record["captions_sha256"] == digest:
        return None
    if text.exists() and not belongs_to(record, text):  # another text was put there
        return None
    return record


def _holds_vectors(folder: Path) -> bool:
    return (folder / ARRAY).exists() or (folder / TEXT).exists()
