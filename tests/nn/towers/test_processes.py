"""Two processes train a tower as one process does."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vse.data.batches import PairBatch
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.nn.towers.tower import build_image_tower
from vse.training.step import TrainingStep
from VSEpp_LSEH.model import VSEpp

pytest.importorskip("timm")


def training_step() -> TrainingStep:
    torch.manual_seed(0)
    tower = build_image_tower("timm:test_resnet", 64, pretrained=False, trained=2, pooled=True, checkpointing=True)
    network = VSEpp(tower.shape, 20, 4, 8)
    network.image_tower = tower
    return TrainingStep(network.train(), build_objective(resolve(ObjectiveOptions(loss="sum_hinge"))))


def pairs(rows: slice) -> PairBatch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    ids = torch.randint(1, 20, (4, 5), generator=generator)
    numbers = torch.arange(4)
    return PairBatch(
        images=pixels[rows],
        captions=ids[rows],
        lengths=torch.full((4,), 5)[rows],
        image_ids=numbers[rows],
        caption_ids=numbers[rows],
    )


def gradients(step: TrainingStep) -> dict[str, Tensor]:
    return {name: value.grad for name, value in step.network.named_parameters() if value.grad is not None}


def train_half(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    step = training_step()
    shared = DistributedDataParallel(step)
    shared(pairs(slice(2 * rank, 2 * rank + 2))).loss.backward()
    torch.save((gradients(step), step.network.state_dict()), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")
def test_gradients_and_statistics_are_those_of_one_process(tmp_path: Path) -> None:
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            try:
                train_half(rank, tmp_path)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    step = training_step()
    step(pairs(slice(0, 4))).loss.backward()
    whole = gradients(step)
    assert any("image_tower" in name for name in whole)
    for rank in range(2):
        half, state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert half.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(half[name], gradient, rtol=1e-4, atol=1e-6)
        assert all(torch.equal(value, state[name]) for name, value in step.network.state_dict().items())
