"""Training pairwise scorers in bounded memory: gradients through the selected pairs only, or block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def checkpointed(function: Callable[..., Any], *inputs: Any) -> Any:
    """function(*inputs); for the backward pass only the inputs are kept and the rest is computed again.

    The function must not draw random numbers.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
