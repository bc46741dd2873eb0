"""Several processes: the first goes ahead, and the others learn how it ended."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch.distributed as dist

from vse.distributed import first_process_first
from vse.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")


def in_two_processes(folder: Path, work: Callable[[int], None]) -> list[int]:
    """Run `work` in two processes -> their exit statuses: 0, 2 for an `InputError`, 1 for anything else."""
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            status = 0
            try:
                dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
                work(rank)
            except InputError:
                status = 2
            except BaseException:
                traceback.print_exc()
                status = 1
            os._exit(status)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_what_the_first_process_makes_is_there_for_the_others(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        with first_process_first():
            if rank == 0:
                (tmp_path / "made").write_text("whole")
            assert (tmp_path / "made").read_text() == "whole"

    assert in_two_processes(tmp_path, work) == [0, 0]


def test_the_others_are_released_if_the_first_fails(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        with first_process_first():
            if rank == 0:
                raise ValueError("cannot prepare")
            raise AssertionError("not reached")

    assert in_two_processes(tmp_path, work) == [1, 2]


def test_one_process_goes_ahead_of_nobody() -> None:
    with first_process_first():
        pass
