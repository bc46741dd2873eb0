"""Schedules of learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from vse.errors import InputError
from vse.options import TrainingOptions


def learning_rate_factor(
    options: TrainingOptions, original: Callable[[float], float], steps_per_epoch: int
) -> Callable[[float], float]:
    """Return the factor on every initial learning rate as a function of the epoch, fractions included.

    Args:
        original: the schedule of the original code.

    Raises:
        InputError: milestones that are missing, out of order or never reached, or a warm-up longer than the run.
    """
    total, warmup = options.num_epochs * steps_per_epoch, options.lr_warmup_steps
    milestones = _milestones(options, steps_per_epoch)
    if warmup > total or (warmup == total and options.schedule == "cosine"):
        raise InputError(f"--lr_warmup_steps {warmup}: the run has {total} steps; choose fewer")

    def factor(epoch: float) -> float:
        step = round(epoch * steps_per_epoch)
        if step < warmup:
            return (step + 1) / warmup
        if options.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        if options.schedule == "step":
            return options.lr_decay ** sum(step >= milestone for milestone in milestones)
        return original(epoch)

    return factor


def depends_on_length(options: Mapping[str, Any]) -> bool:
    """Return whether a longer run has other learning rates from its beginning on, by recorded options."""
    return options.get("schedule") == "cosine" or any(point < 1 for point in options.get("lr_milestones", ()))


def _milestones(options: TrainingOptions, steps_per_epoch: int) -> list[int]:
    """Return the steps at which the rates are multiplied."""
    given, epochs = options.lr_milestones, options.num_epochs
    if (options.schedule == "step") != bool(given):
        raise InputError("--schedule step and --lr_milestones belong together; give both or neither")
    found = [round((point * epochs if point < 1 else point) * steps_per_epoch) for point in given]
    if found != sorted(set(found)) or any(step >= epochs * steps_per_epoch for step in found):
        raise InputError(
            f"--lr_milestones {' '.join(f'{point:g}' for point in given)}: expected ascending points before the end of "
            f"the run, as epochs from 1 to less than {epochs} or as fractions of the run below 1"
        )
    return found
