"""Optimizers, their parameter groups with the towers' own rates, and how rates change over a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vse.errors import InputError
from vse.losses import Objective
from vse.nn.network import Network
from vse.nn.towers.tower import Tower
from vse.options import TrainingOptions

MakeOptimizer = Callable[[Any, Objective, TrainingOptions], torch.optim.Optimizer]


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
        InputError: options of the other optimizers with the original one, or `--fused` for parameters listed twice.
    """
    if options.optimizer == "original":
        if options.weight_decay or options.fused:
            raise InputError("--weight_decay and --fused: give --optimizer adam, adamw or sgd with them")
        return original(network, objective, options)
    groups = with_towers(network.parameter_groups(options.learning_rate), network, options.learning_rate)
    own = list(objective.parameters())
    if own:
        groups.append({"params": own, "lr": options.learning_rate, "weight_decay": 0.0})
    listed = [parameter for group in groups for parameter in group["params"]]
    twice = len(set(listed)) < len(listed)
    if twice and options.fused:
        raise InputError("--fused: this network lists parameters twice (VSRN's captioner); leave the flag out")
    # A parameter that is listed twice must be updated twice, one update after the other.
    kernels: dict[str, Any] = {"foreach": False} if twice else {"fused": True} if options.fused else {}
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=options.weight_decay, **kernels)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, weight_decay=options.weight_decay, **kernels)


def learning_rate_factor(
    options: TrainingOptions, original: Callable[[float], float], steps_per_epoch: int
) -> Callable[[float], float]:
    """Return the factor on every initial learning rate as a function of the epoch, fractions included.

    Args:
        original: the schedule of the original code.

    Raises:
        InputError: milestones that are missing, out of order or never reached, or a warm-up longer than the run.
    """
    milestones, epochs = options.lr_milestones, options.num_epochs
    total, warmup = epochs * steps_per_epoch, options.lr_warmup_steps
    if (options.schedule == "milestones") != bool(milestones):
        raise InputError("--schedule milestones and --lr_milestones belong together; give both or neither")
    if list(milestones) != sorted(set(milestones)) or any(epoch >= epochs for epoch in milestones):
        given = " ".join(map(str, milestones))
        raise InputError(f"--lr_milestones {given}: expected ascending epochs between 1 and {epochs - 1}")
    if warmup > total or (warmup == total and options.schedule == "cosine"):
        raise InputError(f"--lr_warmup_steps {warmup}: the run has {total} steps; choose fewer")

    def factor(epoch: float) -> float:
        step = round(epoch * steps_per_epoch)
        if step < warmup:
            return (step + 1) / warmup
        if options.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        if options.schedule == "milestones":
            return options.lr_decay ** sum(epoch >= milestone for milestone in milestones)
        return original(epoch)

    return factor
