"""Find how the features of a data set were extracted, and extract those of other pictures in the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vse import ranges
from vse.data.feature_writer import to_dtype
from vse.errors import InputError
from vse.files import read_json
from vse.networks import Trained
from vse.nn.extractors import build_extractor
from vse.ranges import AtLeast1

RECORD = "features.json"
"""What `python -m vse features` writes beside the features; `vse.tools.features.RECORD`."""

EXPECTED = "expected the features.json that python -m vse features writes beside its features"

BY_NAME = "by name"
"""The record's weights where they are those that the library has for the extractor's name."""


@dataclass
class _Asked:
    """Settings of an extraction that other pictures need."""

    regions: AtLeast1
    grid: AtLeast1 | None
    image_size: AtLeast1 | None
    dtype: Literal["float32", "float16"]
    batch_size: AtLeast1


def find_extraction(trained: Trained, features: str | Path | None) -> Mapping[str, Any] | None:
    """Return the record of the extractor: of `features`, of the export, or of the training data; None if none says.

    Raises:
        InputError: `features` holds no such record, or the record is damaged.
    """
    if features is not None:
        given = Path(features)
        return read_extraction(given / RECORD if given.is_dir() else given)
    described = _inside(trained.record, "extraction")
    if described is not None:
        return _checked(described, f"{trained.path}: the record of its features")
    folder = _inside(trained.record, "data", "train", "folder")
    path = Path(folder) / RECORD if isinstance(folder, str) else None
    return read_extraction(path) if path is not None and path.is_file() else None


def read_extraction(path: Path) -> dict[str, Any]:
    """Read a `features.json`.

    Raises:
        InputError: missing, or not what `python -m vse features` writes.
    """
    return _checked(read_json(path), str(path))


def of_index(
    made: Mapping[str, Any] | None, found: Mapping[str, Any] | None, named: bool, index: Path
) -> Mapping[str, Any] | None:
    """Return the record by which the pictures of an index, and those that it is asked with, become features.

    Args:
        made: what the index says.
        found: what `find_extraction` found; the index's own record goes before it.
        named: the user named `found`, which then must make the features that the index holds.

    Raises:
        InputError: it makes others, or the index's record is damaged.
    """
    if made is None:
        return found
    made = _checked(made, str(index))
    if named and found is not None and _settings(made) != _settings(found):
        raise InputError(
            f"{index}: its pictures became features by {made['model']} with other settings than --features says; "
            "leave the flag out, or make an index in another folder"
        )
    return made


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what features depend on, which the pictures in a batch and versions are not."""
    asked = {**record["asked"], "pooled": record["asked"].get("pooled") is True}  # records of earlier versions lack it
    return {"model": record["model"], "weights": record.get("weights"), "asked": {**asked, "batch_size": None}}


def _inside(record: Any, *names: str) -> Any:
    for name in names:
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def _checked(record: Any, where: str) -> dict[str, Any]:
    """Return what other pictures need of a record.

    Raises:
        InputError: something lacks, or is out of range.
    """
    try:
        asked = _Asked(**{entry.name: record["asked"][entry.name] for entry in fields(_Asked)})
        if not isinstance(record["model"], str):
            raise TypeError
    except TypeError:
        raise InputError(f"{where}: not the record of an extraction; {EXPECTED}") from None
    except KeyError as problem:
        raise InputError(f"{where}: lacks {problem}; {EXPECTED}") from None
    ranges.check(asked, where)
    kept = ("model", "weights", "asked", "versions", "regions", "dimensions")
    return {name: record[name] for name in kept if name in record}


def extract(
    paths: Sequence[Path], record: Mapping[str, Any], shape: tuple[int, ...], device: torch.device
) -> np.ndarray:
    """Extract features of pictures as a record says -> float32 [n, R, D] or [n, D].

    Args:
        shape: of one image's features, as the network reads them.

    Raises:
        InputError: pictures that cannot be decoded, an extractor that cannot be had, or features of another shape.
    """
    name, asked = record["model"], record["asked"]
    weights = record.get("weights")
    if weights != BY_NAME and weights != _digest_of_folder(name):
        raise InputError(
            f"{name}: the features were made with weights of SHA-256 {str(weights)[:12]}..., which are not known here; "
            "make features of the pictures with python -m vse features --weights FILE and give those"
        )
    pooled = asked.get("pooled") is True  # records of earlier versions lack it
    extractor = build_extractor(name, None, asked["regions"], asked["grid"], asked["image_size"], device, pooled)
    if tuple(extractor.shape) != shape:
        raise InputError(f"{name}: gives features {list(extractor.shape)}, but the network reads {list(shape)}")
    rows, step = [], asked["batch_size"]
    for first in range(0, len(paths), step):
        read = [extractor.read(path) for path in paths[first : first + step]]
        found = extractor([item for item, _ in read], [size for _, size in read]).features
        rows.append(to_dtype(found, asked["dtype"], f"{paths[first]} and the next pictures").astype(np.float32))
    return np.concatenate(rows)


def _digest_of_folder(name: str) -> str | None:
    file = Path(name.removeprefix("hf:")) / "model.safetensors"
    if not name.startswith("hf:") or not file.is_file():
        return None
    return hashlib.sha256(file.read_bytes()).hexdigest()
