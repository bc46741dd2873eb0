"""How CUDA multiplies float32 numbers: in full, or rounded to the ten bits of TF32 first."""

from __future__ import annotations

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
