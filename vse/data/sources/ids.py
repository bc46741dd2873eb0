"""Ids of the rows of a feature file: in the file, or in another file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from vse.errors import InputError
from vse.files import read_bytes, read_text
from vse.formats.array_files import read_npy
from vse.formats.pickles import Refused
from vse.published.pickles import read_plain_pickle

ENDINGS = ("_imgid2idx.pkl", "_ids.txt", "_ids.json", "_ids.npy", "_ids.pkl")
"""What a file of ids is called beside the features `NAME.hdf5`, `NAME.npy` or `NAME_ims.npy`: NAME and one of these."""


def ids_beside(path: Path) -> Path | None:
    """Find the file of ids whose name goes with that of a feature file, or None.

    Raises:
        InputError: there are several.
    """
    names = dict.fromkeys((path.stem, path.stem.removesuffix("_ims")))
    found = [file for name in names for ending in ENDINGS if (file := path.with_name(name + ending)).is_file()]
    if len(found) > 1:
        raise InputError(f"{path}: ids in {' and '.join(file.name for file in found)}; say which with --ids FILE")
    return found[0] if found else None


def read_id_file(path: Path, rows: int) -> list[str]:
    """Read the id of each row: a text file with an id a line, a .npy, or a list or {id: row} as .json or .pkl.

    {row: id} is read as well, where it cannot be {id: row}.

    Nothing in a pickle is executed.

    Raises:
        InputError: damaged, or not one id for each row.
    """
    content: Any
    try:
        if path.suffix == ".npy":
            content = read_npy(path)
        elif path.suffix == ".json":
            content = orjson.loads(read_bytes(path))
        elif path.suffix in (".pkl", ".pickle"):
            content = read_plain_pickle(path)
        else:
            content = read_text(path, encoding="utf-8-sig").split("\n")
            content = [line.strip() for line in content if line.strip()]
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected an id for each row") from None
    except (ValueError, EOFError, Refused) as problem:
        raise InputError(f"{path}: cannot be read ({problem}); expected an id for each row") from None
    if isinstance(content, dict):
        content = _ordered(content, rows, path)
    if not isinstance(content, (list, tuple, np.ndarray)):
        raise InputError(f"{path}: holds a {type(content).__name__}; expected a list of ids, or a dictionary id: row")
    ids = ids_of_rows(content, None, str(path))
    if len(ids) == rows:
        return ids
    neighbours = [image for place, image in enumerate(ids) if place == 0 or image != ids[place - 1]]
    if len(neighbours) == rows:  # an id for each caption: equal neighbours are one image
        return neighbours
    raise InputError(f"{path}: {len(ids)} ids for {rows} rows of features; expected one for each")


def _ordered(rows_of: dict[Any, Any], rows: int, path: Path) -> list[Any]:
    """Sort the keys of {id: row} by row, or the values of {row: id}."""
    wanted = sorted(map(str, range(rows)))
    if sorted(map(str, rows_of)) == wanted and sorted(map(str, rows_of.values())) != wanted:
        return [rows_of[row] for row in sorted(rows_of, key=int)]
    if sorted(map(repr, rows_of.values())) != sorted(map(repr, range(rows))):
        raise InputError(
            f"{path}: gives {len(rows_of)} ids {len(set(map(repr, rows_of.values())))} different rows; expected each "
            f"of the rows 0 ... {rows - 1} once"
        )
    return sorted(rows_of, key=lambda image: int(rows_of[image]))


def ids_of_rows(array: Any, rows: int | None, where: str) -> list[str]:
    """Ids as text, of an array [n] or [n, 1] of integers, strings or whole numbers.

    Raises:
        InputError: of another shape or kind, or not `rows` of them.
    """
    try:
        array = np.asarray(array)
    except ValueError:  # lists of lists of different lengths
        array = np.empty((0, 0))
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        expected = "one for each image" if rows is None else f"one for each of {rows} images"
        raise InputError(f"{where}: ids {list(array.shape)}; expected {expected}")
    values = array.tolist()
    texts = []
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, (int, str)) or isinstance(value, bool) or value == "":
            raise InputError(f"{where}, row {row}: id {value!r:.40}; expected an integer or a name")
        texts.append(str(value))
    return texts
