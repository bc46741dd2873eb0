"""Checkpoints of the original code: state dicts, an `argparse.Namespace` and NumPy numbers, often by Python 2.

`load` reads them and those of this repository alike; nothing in the file can run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vse import checkpoints
from vse.checkpoints import Checkpoint
from vse.errors import InputError
from vse.formats import tensor_files
from vse.formats.pickles import Names, Refused, StandIn


def load(path: Path, network: str | None = None) -> Checkpoint:
    """Read a checkpoint of this repository or of the original code.

    Args:
        path: the file.
        network: the network that one of this repository must be of; None takes any.

    Raises:
        vse.formats.tensor_files.DamagedError: cut off or altered.
        InputError: missing, of another network, or neither format.
    """
    content = tensor_files.read(path, _NAMES)
    if not isinstance(content, dict) or "model" not in content:
        raise InputError(f"{path}: not a checkpoint of this repository or of the original code (no entry `model`)")
    return checkpoints.from_content(content, path, network) if "format" in content else _from_original(content, path)


def _from_original(content: dict[str, Any], path: Path) -> Checkpoint:
    parts, options = content["model"], content.get("opt")
    if not isinstance(parts, list) or not all(map(_is_state, parts)) or not isinstance(options, _Namespace):
        raise InputError(
            f"{path}: neither a checkpoint of this repository nor of the original code (`model` a list of state dicts, "
            "`opt` a Namespace)"
        )
    epoch, best = content.get("epoch", 0), content.get("best_rsum", 0.0)
    if not isinstance(options.state, dict) or not isinstance(epoch, int) or not isinstance(best, (int, float)):
        raise InputError(f"{path}: its `opt`, `epoch` or `best_rsum` is of another kind; use another copy of the file")
    return Checkpoint(
        network="",
        parts=parts,
        options={str(name): value for name, value in options.state.items()},
        progress={"epoch": epoch, "best": best},
        published=True,
        path=path,
    )


def _is_state(part: Any) -> bool:
    return isinstance(part, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in part.items()
    )


class _Namespace(StandIn):
    """`argparse.Namespace`; its attributes are the state."""


class _TensorDtype(StandIn):
    """`numpy.dtype` of numbers."""

    def __init__(self, name: str, *_: Any) -> None:
        if name not in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"):
            raise Refused(f"it holds a NumPy value of type {name!r}")
        self.name = name


def _scalar(dtype: Any, content: Any) -> int | float:
    """Read a NumPy number; Python 2 stored its bytes as a string."""
    if not isinstance(dtype, _TensorDtype):
        raise Refused("it holds a NumPy value of no type")
    order = dtype.state[1] if isinstance(dtype.state, tuple) and dtype.state[1:2] == (">",) else "<"
    raw = content.encode("latin1") if isinstance(content, str) else content
    number: int | float = np.frombuffer(raw, np.dtype(order + dtype.name))[0].item()
    return number


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise Refused(f"it holds bytes encoded as {encoding!r}")
    return text.encode("latin1")


_NAMES: Names = {
    ("argparse", "Namespace"): _Namespace,
    ("numpy", "dtype"): _TensorDtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encoded,
    ("copy_reg", "_reconstructor"): lambda made, base, state: made(),
    ("copyreg", "_reconstructor"): lambda made, base, state: made(),
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
}
