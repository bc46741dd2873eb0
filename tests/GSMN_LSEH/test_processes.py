"""Word graphs of several processes meet in one batch."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from vse.training.gather import gather_rows


def gathered(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    own = torch.full((rank + 1, rank + 2, rank + 2), rank + 1.0, requires_grad=True)
    rows = gather_rows(own)
    rows.sum().backward()
    torch.save((rows.detach(), own.grad), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")
def test_graphs_padded_to_different_lengths_are_gathered(tmp_path: Path) -> None:
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            try:
                gathered(rank, tmp_path)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    for rank in range(2):
        rows, gradient = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert rows.shape == (3, 3, 3)
        assert rows[0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
        assert (rows[1:] == 2).all()
        assert (gradient == 2).all()  # one part from each process
