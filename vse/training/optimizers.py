"""Optimizers, their parameter groups with the towers' own rates, and how rates change over a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from vse.errors import InputError
from vse.nn.towers.options import TowerOptions
from vse.nn.towers.tower import ImageTower, Tower


@dataclass
class OptimizerOptions:
    """Optimizer and learning rates."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """adam as in the original code; adamw for towers; sgd has a momentum of 0.9."""
    weight_decay: float = 0.0
    """Weight decay of all parameters."""
    schedule: Literal["steps", "milestones", "cosine"] = "steps"
    """steps: a tenth after every --lr_update epochs; milestones: see --lr_milestones; cosine: to 0 at the end."""
    lr_milestones: tuple[int, ...] = ()
    """Epochs, counted from 0, that multiply the rates by --lr_decay, with --schedule milestones."""
    lr_decay: float = 0.1
    """Factor of each milestone."""
    warmup_steps: int = 0
    """First steps, in which the rates grow linearly to their full size."""
    fused: bool = False
    """Update all parameters in one kernel."""
    ema: float = 0.0
    """Evaluate with an exponential moving average of the weights, with this decay, such as 0.999; 0: without."""


def parameter_groups(
    groups: list[dict[str, Any]], network: nn.Module, learning_rate: float, options: TowerOptions
) -> list[dict[str, Any]]:
    """A network's groups, with its towers' parameters in groups at their own rates.

    Args:
        groups: of all trained parameters of the network, as `network.parameter_groups` gives them.
        learning_rate: of what is no tower.
        options: factors of the towers' rates.
    """
    towers = [module for module in network.modules() if isinstance(module, Tower)]
    inside = {parameter for tower in towers for parameter in tower.parameters()}
    others = [{**group, "params": [value for value in group["params"] if value not in inside]} for group in groups]
    own = [
        group
        for tower in towers
        for group in tower.parameter_groups(
            learning_rate * (options.image_tower_lr if isinstance(tower, ImageTower) else options.text_tower_lr),
            options.layer_decay,
        )
    ]
    return [group for group in others if group["params"]] + own


def make_optimizer(groups: list[dict[str, Any]], options: OptimizerOptions) -> torch.optim.Optimizer:
    """The optimizer of these parameter groups, each with its `lr` and perhaps its own `weight_decay`.

    Raises:
        InputError: `--fused` for parameters that are listed twice.
    """
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
    options: OptimizerOptions, lr_update: int, num_epochs: int, steps_per_epoch: int
) -> Callable[[float], float]:
    """Epoch, with the part of it that is done, -> factor on every group's initial rate; a pure function.

    Raises:
        InputError: milestones that are missing, out of order or never reached, or a warm-up longer than the run.
    """
    milestones, total = options.lr_milestones, num_epochs * steps_per_epoch
    if (options.schedule == "milestones") != bool(milestones):
        raise InputError("--schedule milestones and --lr_milestones belong together; give both or neither")
    if list(milestones) != sorted(set(milestones)) or any(not 0 < epoch < num_epochs for epoch in milestones):
        given = " ".join(map(str, milestones))
        raise InputError(f"--lr_milestones {given}: expected ascending epochs between 1 and {num_epochs - 1}")
    if options.warmup_steps >= total:
        raise InputError(f"--warmup_steps {options.warmup_steps}: the run has {total} steps; choose fewer")

    def factor(epoch: float) -> float:
        step = round(epoch * steps_per_epoch)
        if step < options.warmup_steps:
            return (step + 1) / options.warmup_steps
        if options.schedule == "cosine":
            done = (step - options.warmup_steps) / (total - options.warmup_steps)
            return (1 + math.cos(math.pi * done)) / 2
        if options.schedule == "milestones":
            return options.lr_decay ** sum(epoch >= milestone for milestone in milestones)
        return 0.1 ** (epoch // lr_update)

    return factor
