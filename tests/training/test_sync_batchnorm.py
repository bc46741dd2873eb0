"""Networks with BatchNorm train in two processes as in one with the whole batch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from SGRAF_LSEH.model import SGRAF
from tests.test_distributed import in_two_processes
from vse.data.batches import PairBatch
from vse.losses.lseh import LSEH
from vse.nn.batchnorm import synchronise
from vse.nn.network import Network
from vse.training.step import TrainingStep
from VSEinfty_LSEH.model import RegionEncoder, VSEinfty, WordEncoder
from VSRN_LSEH.model import VSRN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")

NETWORKS: dict[str, Callable[[], Network]] = {
    "VSRN": lambda: VSRN(20, 5, 8, 6, final_batchnorm=True, dim_hidden=8, dim_word=6),
    "SGR": lambda: SGRAF("SGR", 20, 3, 5, 6, 8, 4),
    "SAF": lambda: SGRAF("SAF", 20, 3, 5, 6, 8, 4),
    "VSEinfty": lambda: VSEinfty(RegionEncoder(5, 8), WordEncoder(20, 6, 8)),
}


def batch(own: slice) -> PairBatch:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([9, 7, 7, 5, 9, 8, 6, 4])
    return PairBatch(
        images=torch.randn(8, 3, 5, generator=generator)[own].double(),
        captions=torch.randint(4, 20, (8, 9), generator=generator)[own].masked_fill(
            torch.arange(9) >= lengths[own, None], 0
        ),
        lengths=lengths[own],
        image_ids=torch.arange(8)[own],
        caption_ids=torch.arange(8)[own],
        descriptions=torch.randn(8, 6, generator=generator)[own].double(),
    )


def step(name: str, own: slice) -> dict[str, Tensor]:
    """Compute a step's gradients, and BatchNorm's statistics after it, in a process's part of the batch."""
    torch.manual_seed(0)
    network = NETWORKS[name]().train().double()  # in float32 BatchNorm's gradients differ by rounding, to 1e-4
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight)
    training: nn.Module = TrainingStep(network, LSEH(max_violation=True))
    if dist.is_initialized():
        synchronise(network)
        training = DistributedDataParallel(training)
    training(batch(own)).loss.backward()
    gradients = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
    return {**gradients, **{key: value for key, value in network.named_buffers() if "running" in key}}


@pytest.mark.parametrize("name", NETWORKS)
def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("VSEinfty_LSEH.model.DROPPED", 0.0)
    expected = step(name, slice(0, 8))

    def work(rank: int) -> None:
        torch.save(step(name, (slice(0, 4), slice(4, 8))[rank]), tmp_path / f"{rank}.pt")

    assert in_two_processes(tmp_path, work) == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9, msg=f"{key} of process {rank}")
