"""Every objective in two processes with B pairs each is what it is in one process with 2 B pairs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tests.losses.variants import VARIANTS
from vse.data.batches import PairBatch
from vse.training.step import TrainingStep
from VSEpp_LSEH.model import VSEpp

world = int(sys.argv[1])
rank = 0
if world > 1:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
generator = torch.Generator().manual_seed(1)
lengths = torch.tensor([9, 7, 7, 5, 4, 3, 3])
images = torch.randn(7, 3, 5, generator=generator)
captions = torch.randint(4, 20, (7, 9), generator=generator)
descriptions = torch.randn(7, 6, generator=generator)
ids = torch.tensor([0, 1, 2, 3, 4, 2, 6])
own = slice(0, 7) if world == 1 else (slice(0, 4), slice(4, 7))[rank]
longest = int(lengths[own].max())
batch = PairBatch(
    images=images[own],
    captions=captions[own, :longest],
    lengths=lengths[own],
    image_ids=ids[own],
    caption_ids=torch.arange(7)[own],
    descriptions=descriptions[own],
)
result = {}
for name, build in VARIANTS.items():
    torch.manual_seed(0)
    objective = build()
    objective.start(7)
    step = TrainingStep(VSEpp((3, 5), 20, 6, 8), objective)
    step = DistributedDataParallel(step) if world > 1 else step
    step(batch)  # what an objective remembers of it counts in the next step
    outcome = step(batch)
    outcome.loss.backward()
    module = step.module if world > 1 else step
    result[name] = {"loss": outcome.loss.detach(), **{n: p.grad for n, p in module.named_parameters()}}
if rank == 0:
    torch.save(result, sys.argv[2])
if world > 1:
    dist.destroy_process_group()
"""


def worker(folder: Path, world: int) -> dict:
    program, output = folder / "worker.py", folder / f"{world}.pt"
    program.write_text(WORKER)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={world}"] if world > 1 else []
    subprocess.run(
        [sys.executable, *launcher, str(program), str(world), str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return torch.load(output, weights_only=True)


@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")
def test_two_processes_give_loss_and_gradients_of_one(tmp_path: Path) -> None:
    one, two = worker(tmp_path, 1), worker(tmp_path, 2)
    for objective, expected in one.items():
        for name, value in expected.items():
            torch.testing.assert_close(two[objective][name], value, rtol=1e-5, atol=1e-5, msg=f"{objective} {name}")
