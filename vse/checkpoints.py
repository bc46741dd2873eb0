"""Checkpoints: tensors and plain values only, written atomically, verified when read; published formats come in too."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

import vse
from vse.errors import InputError
from vse.files import write_atomically

FORMAT = "vse 1"


def digest(value: Any) -> str:
    """SHA-256 over the structure, plain values and tensor bytes of a nested checkpoint value."""
    state = hashlib.sha256()
    for piece in _pieces(value):
        state.update(piece)
    return state.hexdigest()


def _pieces(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        yield f"tensor {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key, item in value.items():
            yield json.dumps(key).encode()
            yield from _pieces(item)
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for item in value:
            yield from _pieces(item)
    else:
        yield json.dumps(value).encode()


def save(path: Path, content: dict[str, Any], best: Path | None = None) -> None:
    """Write a checkpoint; a reader sees the old file or the whole new one, whenever the process dies.

    Args:
        content: tensors and plain values in dicts and lists.
        best: second file with the same content, written first, so that a checkpoint that remembers a best score never
            stands beside an older best model.
    """
    content = {"format": FORMAT, **content, "versions": {"vse": vse.__version__, "torch": str(torch.__version__)}}
    content["sha256"] = digest(content)

    for target in (best, path):
        if target is not None:
            write_atomically(target, lambda file: torch.save(content, file))


def load(path: Path, network: str | None = None) -> dict[str, Any]:
    """Read a checkpoint of ours or of the published code; nothing in the file can run.

    Ours comes back as saved. A published one (`model` a list of state dicts, `opt` an argparse.Namespace) comes back as
    {"published": True, "model": [state dict, ...], "options": {...}, "epoch": int, "best": float}.

    Args:
        network: the network it must be of, by the name that checkpoints carry; None takes any.

    Raises:
        InputError: missing, truncated, altered, of another network, or neither format.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; train first, or give another file")
    # The published checkpoints hold a Namespace and NumPy scalars besides tensors: inert values, allowed by name.
    allowed = [argparse.Namespace, *_numpy_scalars()]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        text = str(problem)
        if "Unsupported" in text or "GLOBAL" in text or "not an allowed" in text:
            raise InputError(
                f"{path}: holds Python objects besides tensors and plain values; expected a checkpoint of this "
                "repository or of the published code"
            ) from None
        raise InputError(f"{path}: damaged or not a checkpoint; use another copy of the file") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, BadZipFile, IndexError):
        raise InputError(f"{path}: damaged or not a checkpoint; use another copy of the file") from None
    if not isinstance(content, dict) or "model" not in content:
        raise InputError(f"{path}: not a checkpoint of this repository or of the published code (no entry `model`)")
    if "format" not in content:
        return _published(content, path)
    expected = content.pop("sha256", None)
    if content["format"] != FORMAT or expected != digest(content):
        raise InputError(f"{path}: its content does not match its SHA-256; the file was altered, use another copy")
    if network is not None and content["network"] != network:
        raise InputError(f"{path}: a checkpoint of {content['network']}; expected one of {network}")
    return content


def _published(content: dict[str, Any], path: Path) -> dict[str, Any]:
    model, options = content["model"], content.get("opt")
    if not isinstance(model, list) or not isinstance(options, argparse.Namespace):
        raise InputError(
            f"{path}: neither a checkpoint of this repository nor of the published code (`model` a list of state "
            "dicts, `opt` a Namespace)"
        )
    return {
        "published": True,
        "model": model,
        "options": vars(options),
        "epoch": int(content.get("epoch", 0)),
        "best": float(content.get("best_rsum", 0.0)),
    }


def _numpy_scalars() -> list[Any]:
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
    dtypes = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    return [*((scalar, name) for name in names), np.dtype, *dtypes]


def load_state(network: torch.nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict that must fit name by name and shape by shape (`num_batches_tracked` may be missing).

    Raises:
        InputError: it does not fit; the message names the first difference.
    """
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in wanted]
    if missing or unknown:
        what = f"lacks `{missing[0]}`" if missing else f"holds `{unknown[0]}`, which the network does not have"
        raise InputError(f"{path}: {what}; expected a checkpoint made with the same network options")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise InputError(
                f"{path}: `{name}` has shape {list(tensor.shape)}, the network wants {list(wanted[name].shape)}; "
                "expected a checkpoint made with the same network options and data"
            )
    network.load_state_dict(state, strict=False)
