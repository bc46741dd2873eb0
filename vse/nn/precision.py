"""How CUDA computes: float32 products in full or rounded to the ten bits of TF32, and with which kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_CUDNN: Any = torch.backends.cudnn

SWITCHES: tuple[Any, ...] = (torch.backends.cuda.matmul, _CUDNN.conv, _CUDNN.rnn)
"""Torch's switches for matrix products, convolutions and recurrent networks; the last two are on by default."""


def multiply_in(precision: str) -> None:
    """Turn TF32 on for `tf32` and for `bf16`, whose float32 products need no more; turn it off for `float32`."""
    for switch in SWITCHES:
        switch.fp32_precision = "ieee" if precision == "float32" else "tf32"


def repeat_bits(always: bool) -> None:
    """With `always`, use kernels that give the same bits every time, and refuse operations that have none.

    Called before the device is first used: cuBLAS reads its setting then.
    """
    if always:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(always)
    # New memory needs no known content: no kernel of ours reads what nothing has written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute without TF32 for a while: evaluation, and objectives, whose margins it would round."""
    before = [switch.fp32_precision for switch in SWITCHES]
    multiply_in("float32")
    try:
        yield
    finally:
        for switch, precision in zip(SWITCHES, before, strict=True):
            switch.fp32_precision = precision
