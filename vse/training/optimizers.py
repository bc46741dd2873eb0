"""Optimizers and their parameter groups, with the towers' own rates."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.losses import Objective
from vse.nn.network import Network
from vse.nn.towers.tower import Tower
from vse.options import TrainingOptions

MakeOptimizer = Callable[[Any, Objective, TrainingOptions], torch.optim.Optimizer]

KERNEL = {"foreach": None, "fused": True}
"""How parameters are updated; of the optimizer, not of the checkpoint that its state comes from."""


def with_towers(groups: list[dict[str, Any]], network: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Move the parameters of a network's towers from its optimizer groups into groups at their own rates.

    Args:
        groups: of all trained parameters of the network, as `network.parameter_groups` lists them.
        learning_rate: what the towers take a share of.
    """
    towers = [module for module in network.modules() if isinstance(module, Tower)]
    if not towers:
        return groups
    inside = {parameter for tower in towers for parameter in tower.parameters()}
    others = [{**group, "params": [value for value in group["params"] if value not in inside]} for group in groups]
    own = [group for tower in towers for group in tower.parameter_groups(learning_rate)]
    return [group for group in others if group["params"]] + own


def make_optimizer(
    network: Network[Any, Any], objective: Objective, options: TrainingOptions, original: MakeOptimizer
) -> torch.optim.Optimizer:
    """Build the optimizer of a run: the original code's, or the one that `--optimizer` names.

    Raises:
        InputError: options of the other optimizers with the original one.
    """
    if options.optimizer == "original":
        if options.weight_decay:
            raise InputError("--weight_decay: give --optimizer adam, adamw or sgd with it")
        return fused(original(network, objective, options))
    groups = with_towers(network.parameter_groups(options.learning_rate), network, options.learning_rate)
    own = list(objective.parameters())
    if own:
        groups.append({"params": own, "lr": options.learning_rate, "weight_decay": 0.0})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*duplicate parameters")  # VSRN's captioner is listed twice on purpose
        if options.optimizer == "sgd":
            return fused(torch.optim.SGD(groups, momentum=0.9, weight_decay=options.weight_decay))
        kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
        return fused(kind(groups, weight_decay=options.weight_decay))


def fused(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Let Adam, AdamW or SGD update all parameters of a group in one kernel, which can leave them as they are."""
    for group in optimizer.param_groups:
        group.update(KERNEL)
    return optimizer


def update(optimizer: torch.optim.Optimizer, spoilt: Tensor) -> None:
    """Make one step of a `fused` optimizer, unless `spoilt` is 1: then parameters and moments stay as they are.

    The device decides, so that the host does not wait for it. A parameter that is listed twice gets two updates, one
    after the other.

    Args:
        spoilt: float32 scalar, 0 or 1.
    """
    optimizer.found_inf = spoilt  # type: ignore[attr-defined]
    groups = optimizer.param_groups
    listed = [group["params"] for group in groups]
    turns = list(zip_longest(*map(distinct, listed), fillvalue=[]))
    try:
        for turn in turns:
            for group, parameters in zip(groups, turn, strict=True):
                group["params"] = parameters
                if group.get("momentum"):
                    _begin_momentum(optimizer, parameters)
            optimizer.step()
    finally:
        for group, parameters in zip(groups, listed, strict=True):
            group["params"] = parameters


def distinct(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Split a list into lists in which every parameter occurs once: [a, b, b] -> [a, b], [b]."""
    turns: list[list[nn.Parameter]] = []
    seen: Counter[nn.Parameter] = Counter()
    for parameter in parameters:
        if seen[parameter] == len(turns):
            turns.append([])
        turns[seen[parameter]].append(parameter)
        seen[parameter] += 1
    return turns


def _begin_momentum(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    """Begin with no momentum; torch's kernel would leave a spoilt first step's momentum uninitialised."""
    for parameter in parameters:
        if parameter.grad is not None and optimizer.state[parameter].get("momentum_buffer") is None:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
