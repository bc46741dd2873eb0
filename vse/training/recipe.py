"""Peculiarities of a network's training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from vse.losses import Objective, ObjectiveOptions
from vse.nn.network import Network
from vse.options import DataOptions, TrainingOptions
from vse.training.optimizers import MakeOptimizer, with_towers
from vse.training.runs import Run


class RunOptions(Protocol):
    """The options of a training script, by the group that reads them."""

    @property
    def data(self) -> DataOptions:
        """Flags of the data."""

    @property
    def training(self) -> TrainingOptions:
        """Flags of training."""

    @property
    def network(self) -> Any:
        """Flags of the network."""

    @property
    def objective(self) -> ObjectiveOptions:
        """Flags of the objective."""


@dataclass(frozen=True)
class Selection:
    """How the best model is chosen on dev."""

    name: str
    """As validation lines show it."""
    score: Callable[[Mapping[str, float]], float]
    """Dev metrics -> the score that the best model has most of."""


RSUM = Selection("rsum", lambda metrics: metrics["rsum"])
"""R@1 + R@5 + R@10 of both directions."""
FIRST_RECALLS = Selection("R@1+R@5", lambda metrics: sum(metrics[name] for name in ("r1", "r5", "r1i", "r5i")))
"""R@1 + R@5 of both directions (VSRN)."""


def adam(network: Network, objective: Objective, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return Adam over `network.parameter_groups` and a group of the objective's parameters, if it has any."""
    groups = with_towers(network.parameter_groups(options.learning_rate), network, options.learning_rate)
    own = list(objective.parameters())
    if own:
        groups.append({"params": own, "lr": options.learning_rate})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*duplicate parameters")  # VSRN's captioner is listed twice on purpose
        return torch.optim.Adam(groups)


def step_decay(options: TrainingOptions) -> Callable[[float], float]:
    """Return the original code's schedule: a tenth of the learning rate after every `lr_update` epochs."""
    return lambda epoch: 0.1 ** (epoch // options.lr_update)


@dataclass(frozen=True)
class Recipe:
    """The peculiarities of a network's training; the defaults are what most networks do."""

    make_optimizer: MakeOptimizer = adam
    """(network, objective, options) -> the optimizer, with its initial learning rates."""
    schedule: Callable[[TrainingOptions], Callable[[float], float]] = step_decay
    """Options -> epoch, fractions included -> factor on every initial learning rate."""
    selection: Selection = RSUM
    """How the best model is chosen on dev."""
    before_epoch: Callable[[Any, int], None] | None = None
    """(network, epoch), before the first batch of an epoch and again after resuming within it."""
    after_epoch: Callable[[Run, int], None] | None = None
    """(run, number of epochs done), in the first process, once an epoch is saved; perhaps again after resuming."""
    freezes: bool = False
    """`before_epoch` freezes parameters, so that torchrun's processes must not wait for their gradients."""
    drop_last: bool = False
    """Leave out an epoch's last, smaller batch."""
    tags: Mapping[str, str] = field(default_factory=lambda: {"loss": "Le"})
    """TensorBoard tags of the original code, by our names: loss, retrieval (the objective alone), image_to_text,
    text_to_image, the network's own terms, and metrics."""
