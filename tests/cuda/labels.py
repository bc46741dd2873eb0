"""Where tensors of the pretend GPU are, and what was seen of them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")
HERE = str(Path(__file__).resolve().parent)


def label(tensor: Tensor) -> str:
    """`cuda`, `cpu`, or `any`: made inside an operation, wherever that is."""
    return getattr(tensor.untyped_storage(), "_pretended", "cpu")


def put(result: Any, where: str) -> Any:
    for tensor in tree_leaves(result):
        if isinstance(tensor, Tensor):
            tensor.untyped_storage()._pretended = where
    return result


def kind(device: Any) -> str:
    if isinstance(device, int):
        return "cuda"
    return "cuda" if torch.device(device).type == "cuda" else "cpu"


def tensors_in(*values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class Seen:
    """What happened on the pretend GPU.

    Args:
        roots: a source line is that of the innermost frame under one of these folders.
    """

    def __init__(self, roots: tuple[str, ...]) -> None:
        self.roots = roots
        self.observe: Any = None  # called with (operation, args, kwargs, result) of what would launch
        self.clear()

    def clear(self) -> None:
        self.syncs: Counter[tuple[str, str]] = Counter()
        self.launches: Counter[str] = Counter()
        self.launch_lines: Counter[str] = Counter()
        self.unordered: Counter[str] = Counter()
        self.bytes = 0
        self.copied = 0  # bytes that went from host to device or back
        self.transfers: Counter[tuple[str, str]] = Counter()

    def line(self) -> str:
        frame = sys._getframe(1)
        while frame is not None:
            name = frame.f_code.co_filename
            ours = name.startswith(self.roots) and "site-packages" not in name  # the environment lies in the checkout
            if ours and not name.startswith(HERE):
                root = next(root for root in self.roots if name.startswith(root))
                return f"{name[len(root) :].lstrip('/')}:{frame.f_lineno}"
            frame = frame.f_back
        return "?"

    def sync(self, kind: str) -> None:
        self.syncs[kind, self.line()] += 1
