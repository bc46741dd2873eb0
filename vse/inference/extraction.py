"""How the features of a data set were made of pictures, found again, so that other pictures become such features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vse.data.feature_writer import to_dtype
from vse.errors import InputError
from vse.networks import Trained
from vse.nn.extractors import build_extractor

RECORD = "features.json"
"""What `python -m vse features` writes beside the features; `vse.tools.features.RECORD`."""

BY_NAME = "by name"
"""The record's weights where they are those that the library has for the extractor's name."""


def find_extraction(trained: Trained, features: str | Path | None) -> Mapping[str, Any] | None:
    """Return the record of the extractor: of `features`, of the export, or of the training data; None if none says.

    Raises:
        InputError: `features` holds no such record, or the record is damaged.
    """
    if features is not None:
        given = Path(features)
        return read_extraction(given / RECORD if given.is_dir() else given)
    described = (trained.record or {}).get("extraction")
    if described is not None:
        return dict(described)
    folder = ((trained.record or {}).get("data") or {}).get("train", {}).get("folder")
    path = Path(folder) / RECORD if isinstance(folder, str) else None
    return read_extraction(path) if path is not None and path.is_file() else None


def read_extraction(path: Path) -> dict[str, Any]:
    """Read a `features.json`.

    Raises:
        InputError: missing, or not what `python -m vse features` writes.
    """
    expected = "expected the features.json that python -m vse features writes beside its features"
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record["model"], str) or not isinstance(record["asked"]["dtype"], str):
            raise TypeError
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); {expected}") from None
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path}: not the record of an extraction; {expected}") from None
    kept = ("model", "weights", "asked", "versions", "regions", "dimensions")
    return {name: record[name] for name in kept if name in record}


def extract(
    paths: Sequence[Path], record: Mapping[str, Any], shape: tuple[int, ...], device: torch.device
) -> np.ndarray:
    """Extract features of pictures as a record says -> float32 [n, R, D].

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
    try:
        extractor = build_extractor(name, None, asked["regions"], asked["grid"], asked["image_size"], device)
        step = int(asked["batch_size"])
    except KeyError as problem:
        raise InputError(f"{RECORD}: lacks {problem}; make the features again with python -m vse features") from None
    if tuple(extractor.shape) != shape:
        raise InputError(f"{name}: gives features {list(extractor.shape)}, but the network reads {list(shape)}")
    rows = []
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
