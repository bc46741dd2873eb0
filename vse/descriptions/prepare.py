"""Semantic description vectors of a data set (LSEH): saved, read, checked against the captions, made where missing.

Row i of `train_svd.txt` describes training caption i and, in LSEH, the image of pair i. Made by `vse.descriptions.svd`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vse import REPOSITORY
from vse.console import say
from vse.descriptions.store import ARRAY, TEXT, _read_record, _sha256, load, save
from vse.errors import InputError
from vse.text.captions import read_captions


def find_or_make(
    folder: Path, captions_file: Path, n_captions: int, output: Path = REPOSITORY / "output"
) -> np.ndarray:
    """The vectors of the training captions of the data set in `folder`; made, with a line that says so, if missing.

    Looked for in the data set's folder, then in `output` and its subfolder of the data set's name; there they count
    only if they were made from these captions. New ones are kept in the first of these places that can be written to
    and holds no vectors of other captions.

    Raises:
        InputError: as `load` does; captions_file does not hold n_captions captions.
    """
    if _holds_vectors(folder):
        return load(folder, captions_file, n_captions)
    other_places = (output, output / folder.resolve().name)
    captions_sha256 = _sha256(captions_file)
    for place in other_places:
        if _holds_vectors(place) and _read_record(place).get("captions_sha256") == captions_sha256:
            return load(place, captions_file, n_captions)
    captions = read_captions(captions_file)
    if len(captions) != n_captions:
        raise InputError(f"{captions_file}: {len(captions)} captions, the data set has {n_captions}; expected its own")
    from vse.descriptions.svd import fit  # its libraries take seconds to import

    say(f"{folder / TEXT}: not there, made from {captions_file.name} now, once")
    descriptions = fit(captions, source=captions_file)
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
        return load(place, captions_file, n_captions)
    say(f"{folder}, {output}: cannot be written to, the vectors are not kept")
    return descriptions.vectors


def _holds_vectors(folder: Path) -> bool:
    return (folder / ARRAY).exists() or (folder / TEXT).exists()
