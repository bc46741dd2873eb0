"""Gradient checkpointing of blocks of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def checkpointed(function: Callable[..., Any], *inputs: Any) -> Any:
    """Call `function(*inputs)`, keeping only the inputs for the backward pass, which computes the rest again.

    The function must not draw random numbers.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
