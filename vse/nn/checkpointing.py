"""Gradient checkpointing of blocks of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

import torch
from torch.utils.checkpoint import checkpoint

Inputs = TypeVarTuple("Inputs")
Result = TypeVar("Result")


def checkpointed(function: Callable[[Unpack[Inputs]], Result], *inputs: *Inputs) -> Result:
    """Call `function(*inputs)`, keeping only the inputs for the backward pass, which computes the rest again.

    The function must not draw random numbers.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    result: Result = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result
