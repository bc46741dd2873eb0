"""Gradient checkpointing of blocks of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch.utils.checkpoint import checkpoint
from typing_extensions import TypeVarTuple, Unpack

Inputs = TypeVarTuple("Inputs")
Result = TypeVar("Result")


def checkpointed(function: Callable[[Unpack[Inputs]], Result], *inputs: Unpack[Inputs]) -> Result:
    """Call `function(*inputs)`, keeping only the inputs for the backward pass, which computes the rest again.

    The function must not draw random numbers.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    result: Result = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result
