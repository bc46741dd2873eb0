"""Blocks of scores are computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vse.nn.checkpointing import checkpointed


def squares(x: Tensor) -> Tensor:
    for _ in range(5):
        x = x.sin() * x
    return x


def saved_by(function: Callable[[Tensor], Tensor]) -> tuple[int, Tensor]:
    """Numbers that autograd keeps for the backward pass, and the gradient."""
    saved = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel()
        return tensor

    x = torch.linspace(0, 1, 100, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function(x)
    return saved, torch.autograd.grad(result.sum(), x)[0]


def test_only_inputs_are_kept_and_the_gradient_is_the_same() -> None:
    plain, wanted = saved_by(squares)
    kept, gradient = saved_by(lambda x: checkpointed(squares, x))
    assert plain >= 500
    assert kept <= 100
    assert torch.equal(gradient, wanted)


def test_without_gradients_the_function_is_called_once() -> None:
    calls: list[Tensor] = []
    with torch.no_grad():
        assert checkpointed(lambda x: calls.append(x) or x + 1, torch.ones(3)).sum() == 6
    assert len(calls) == 1
