"""A step of two processes has the gradients of one: every network with every objective that it trains with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tests.faults.runs import write_small_set
from tests.test_distributed import in_two_processes
from tests.trained import SIZES
from vse import networks
from vse.data.loading import TrainingData, open_training_data
from vse.errors import InputError
from vse.losses import OBJECTIVES, build_objective, check_combination, resolve
from vse.nn.batchnorm import synchronise
from vse.options import DataOptions, ObjectiveOptions, with_values
from vse.training.step import TrainingStep

BATCH = np.array([3, 17, 40, 8, 60, 75, 99, 110])
"""Captions of a step, no two of an image."""
CLOSE = 1e-5
"""Largest difference of a gradient, as a share of its largest entry."""


def combinations() -> Iterator[tuple[str, str]]:
    """Yield the networks with the objectives that they train with."""
    for name in SIZES:
        folder = networks.folder(name)
        for loss in OBJECTIVES:
            options = resolve(ObjectiveOptions(loss=loss))
            try:
                check_combination(options, folder.pairwise, folder.bounded(folder.options()))
            except InputError:
                continue
            yield name, loss


def gradients(
    name: str, loss: str, data: TrainingData, options: Any, own: np.ndarray, device: str = "cpu"
) -> dict[str, Tensor]:
    """Compute the gradients of a step, in one process or in a process's part of the batch."""
    folder = networks.folder(name)
    torch.manual_seed(0)
    network = folder.build(options, data.image_shape, data.text, True).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    objective = build_objective(resolve(ObjectiveOptions(loss=loss)))
    objective.start(len(data.pairs))
    step = TrainingStep(network, objective).to(device)
    trained: nn.Module = step
    if dist.is_initialized():
        synchronise(network)
        trained = DistributedDataParallel(step, find_unused_parameters=True)
    objective.begin(0, 0, 10)
    trained(data.pairs.with_images(data.pairs.read(own)).to(torch.device(device))).loss.backward()
    return {key: value.grad for key, value in step.named_parameters() if value.grad is not None}


def open_networks(folder: Path, names: Iterable[str]) -> dict[str, tuple[Any, TrainingData]]:
    """Write a small data set, and open it for each network -> options of the network and its data."""
    root = write_small_set(folder / "data")
    opened: dict[str, tuple[Any, TrainingData]] = {}
    for name in names:
        network = networks.folder(name)
        options = with_values(network.options(), {"embed_size": 8, "word_dim": 6, **SIZES[name]})
        data = open_training_data(DataOptions(str(root), "small", batch_size=8), network.reader(options), 0, True)
        opened[name] = options, data
    return opened


@patch("VSEinfty_LSEH.model.DROPPED", 0.0)
def compare(folder: Path, wanted: list[tuple[str, str]]) -> list[str]:
    """Compare the gradients of two processes with those of one -> what differs."""
    opened = open_networks(folder, dict.fromkeys(name for name, _ in wanted))

    def work(rank: int) -> None:
        own = np.array_split(BATCH, 2)[rank]
        found = {(name, loss): gradients(name, loss, *opened[name][::-1], own) for name, loss in wanted}
        torch.save(found, folder / f"{rank}.pt")

    if in_two_processes(folder, work) != [0, 0]:
        return ["a process ended with an error"]
    both = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    wrong = []
    for name, loss in wanted:
        alone = gradients(name, loss, *opened[name][::-1], BATCH)
        for found in both:
            wrong += [f"{name}, {loss}: {key}" for key in differing(alone, found[name, loss])]
    return wrong


def differing(alone: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    """List the parameters whose gradients differ."""
    scale = max(float(value.abs().max()) for value in alone.values())
    return [
        f"{key} by {difference:.1e}"
        for key, value in alone.items()
        if (difference := float((value - found[key]).abs().max()) / scale) > CLOSE
    ]
