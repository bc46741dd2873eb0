"""Semantic description vectors of a data set (LSEH): saved, read, checked against the captions.

Row i of `train_svd.txt` describes training caption i and, in LSEH, the image of pair i. Made by `vse.descriptions.svd`.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from tqdm import tqdm

from vse.console import say
from vse.descriptions.vectors import STOP_WORDS_ID, Descriptions, silence_noise
from vse.errors import InputError
from vse.files import open_regular, read_bytes, sha256, write_atomically
from vse.formats.array_files import read_npy

TEXT, ARRAY, RECORD = "train_svd.txt", "train_svd.npy", "train_svd.json"

_PARSED_ROWS = 4096

_WRITTEN_ROWS = 128  # a block of text in the processor's cache: larger ones cost seconds of page faults


def save(descriptions: Descriptions, folder: Path, captions_file: Path) -> None:
    """Write train_svd.txt, .npy and .json into `folder`, each whole or not at all.

    The text is the published form: a line per caption, numbers separated by commas, here the shortest ones that read
    as the same float32. The JSON says which captions the vectors belong to (SHA-256 of the file) and how they were
    made.

    Raises:
        InputError: the folder cannot be written to, or captions_file cannot be read.
    """
    record = {
        "captions_sha256": sha256(captions_file),
        "rows": len(descriptions.vectors),
        "components": descriptions.vectors.shape[1],
        "solver": descriptions.solver,
        "stop_words": STOP_WORDS_ID,
        "versions": {package: version(package) for package in ("numpy", "scipy", "scikit-learn", "nltk")},
        "singular_values": descriptions.singular_values.tolist(),
    }
    digest = hashlib.sha256()

    def write_text(file: BinaryIO) -> None:
        blocks = range(0, len(descriptions.vectors), _WRITTEN_ROWS)
        for first in tqdm(blocks, desc="writing", unit="blocks", disable=None, leave=False):
            rows = descriptions.vectors[first : first + _WRITTEN_ROWS]
            nested = orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
            lines = nested[2:-2].replace(b"],[", b"\n") + b"\n"
            digest.update(lines)
            file.write(lines)

    write_atomically(folder / TEXT, write_text)
    _write_array_and_record(folder, descriptions.vectors, record, digest.hexdigest())


def load(path: Path, captions_file: Path, n_captions: int, keep: bool = True) -> np.ndarray:
    """Read the vectors of a data set's training captions, float32 [n_captions, K], memory-mapped where possible.

    train_svd.npy is read if there is no train_svd.txt, or if the JSON says that it belongs to this very text.
    Otherwise the text is parsed, once if the folder can be written to: `.npy` and JSON are then put beside it.

    Args:
        path: the folder of the vectors or one of the files.
        keep: write what is read from the text beside it; without it nothing is written.

    Raises:
        InputError: no vectors, damaged ones, another number of rows than captions, or made from other captions.
    """
    folder = path if path.is_dir() else path.parent
    text, array = folder / TEXT, folder / ARRAY
    record = read_record(folder)
    if record and text.exists() and not belongs_to(record, text, keep):
        record = {}  # the text was replaced: it stands for itself
    if record and record["captions_sha256"] != sha256(captions_file):
        raise InputError(
            f"{folder / RECORD}: the vectors were made from other captions than {captions_file}; delete the train_svd "
            "files there to have them made when training starts"
        )
    if array.exists() and (record or not text.exists()):
        return _open_array(array, n_captions, record)
    if not text.exists():
        raise InputError(f"{text}: no such file; python SVDdescriptions.py --data_path {captions_file} makes it")
    say(f"{text}: no {ARRAY} of this text beside it, parsing")
    vectors = _parse_text(text, n_captions)
    if not keep:
        return vectors
    record = {"captions_sha256": sha256(captions_file), "rows": n_captions, "components": vectors.shape[1]}
    with contextlib.suppress(InputError):
        _write_array_and_record(folder, vectors, record, sha256(text))
        return _open_array(array, n_captions, record)
    return vectors


def _open_array(path: Path, n_captions: int, record: dict[str, Any]) -> np.ndarray:
    try:
        # Copy on write: noise can be silenced without touching the file.
        mapped = read_npy(path, "c")
    except (ValueError, OSError):
        raise InputError(f"{path}: truncated or not a .npy file of numbers; delete it to have it made again") from None
    if mapped.ndim != 2 or mapped.dtype.kind != "f" or 0 in mapped.shape:
        raise InputError(
            f"{path}: {mapped.dtype} of shape {mapped.shape}; expected float32 [captions, components], "
            "delete it to have it made again"
        )
    _check_rows(path, len(mapped), n_captions)
    if record and mapped.shape[1] != record["components"]:
        raise InputError(
            f"{path}: {mapped.shape[1]} components, {RECORD} says {record['components']}; delete whichever is outdated"
        )
    vectors = np.ascontiguousarray(mapped, dtype=np.float32).view(np.ndarray)
    finite = _finite_rows(vectors)
    if not finite.all():
        raise InputError(f"{path}, row {finite.argmin()}: NaN or infinity; delete the file to have it made again")
    return silence_noise(vectors)


def _parse_text(path: Path, n_captions: int) -> np.ndarray:
    import pandas as pd

    try:
        with open_regular(path) as file:
            columns = file.readline().count(b",") + 1
            file.seek(0)
            rows, end = 0, b"\n"
            while block := file.read(2**24):
                rows, end = rows + block.count(b"\n"), block[-1:]
    except OSError as problem:
        raise InputError(
            f"{path}: cannot be read ({problem.strerror}); make it again with SVDdescriptions.py"
        ) from None
    _check_rows(path, rows + (end != b"\n"), n_captions)
    if 2 * columns * n_captions > path.stat().st_size + 1:  # a digit and a mark each: the first line is longer
        raise InputError(f"{path}{_first_fault(path, columns)}; make it again with SVDdescriptions.py")
    vectors = np.empty((n_captions, columns), dtype=np.float32)
    row = 0
    try:
        # Empty lines are rows, quotes mean nothing, any byte decodes: what is no number fails to parse or becomes NaN.
        with pd.read_csv(
            path,
            header=None,
            dtype=np.float32,
            chunksize=_PARSED_ROWS,
            skip_blank_lines=False,
            quoting=csv.QUOTE_NONE,
            encoding="latin-1",
        ) as chunks:
            for chunk in chunks:
                vectors[row : row + len(chunk)] = chunk
                row += len(chunk)
        whole = row == n_captions and _finite_rows(vectors).all()
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"{path}{_first_fault(path, columns)}; make it again with SVDdescriptions.py")
    return silence_noise(vectors)


def _first_fault(path: Path, columns: int) -> str:
    """Where and why a text is no matrix of finite numbers; slow."""
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, 1):
            fields = line.split(",")
            if len(fields) != columns:
                return f", line {number}: {len(fields)} columns, line 1 has {columns}"
            for column, field in enumerate(fields, 1):
                if not _is_finite_number(field):
                    return f", line {number}: column {column} is {field.strip()[:20]!r}, expected a finite number"
    return ": not lines of comma-separated numbers"


def _is_finite_number(field: str) -> bool:
    try:
        return bool(np.isfinite(np.float32(field)))
    except ValueError:
        return False


def _check_rows(path: Path, rows: int, n_captions: int) -> None:
    if rows != n_captions:
        raise InputError(
            f"{path}: {rows} rows for {n_captions} captions; expected one row a caption, make it again with "
            "SVDdescriptions.py from the captions you train with"
        )


def _finite_rows(vectors: np.ndarray) -> np.ndarray:
    # One pass without a copy of the whole matrix: NaN and infinity survive the sum of squares.
    return np.isfinite(np.einsum("ij,ij->i", vectors, vectors))


def belongs_to(record: dict[str, Any], text: Path, keep: bool = False) -> bool:
    """Whether the record and its `.npy` were made with this text, unedited; a copied text is known by its SHA-256.

    Args:
        keep: note a copied text in the record, so that it need not be hashed again.
    """
    known, status = record["text"], text.stat()
    if status.st_size != known["bytes"]:
        return False
    if status.st_mtime_ns == known["modified_ns"]:
        return True
    if sha256(text) != known["sha256"]:
        return False
    if keep:
        known["modified_ns"] = status.st_mtime_ns
        with contextlib.suppress(InputError):  # hashed again the next time
            _write_record(text.parent, record)
    return True


def read_record(folder: Path) -> dict[str, Any]:
    """Read the JSON beside the vectors; empty if there is none.

    Raises:
        InputError: it is not what `save` writes.
    """
    try:
        record: dict[str, Any] = orjson.loads(read_bytes(folder / RECORD))
        text = record["text"]
        _ = (record["captions_sha256"], record["components"], text["bytes"], text["modified_ns"], text["sha256"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder / RECORD}: not what SVDdescriptions.py writes; delete it") from None
    return record


def _write_array_and_record(folder: Path, vectors: np.ndarray, record: dict[str, Any], text_sha256: str) -> None:
    # The record comes last: until then the old one does not fit the new text, which is read in place of any array.
    write_atomically(folder / ARRAY, lambda file: np.save(file, vectors))
    status = (folder / TEXT).stat()
    known = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": text_sha256}
    _write_record(folder, {**record, "text": known})


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    write_atomically(folder / RECORD, lambda file: file.write(json.dumps(record, indent=1).encode()))
