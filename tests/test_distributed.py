"""Several processes: the first goes ahead, and the others learn how it ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import vse.distributed
from vse.distributed import agree, first_process_first, leave, start
from vse.errors import InputError
from vse.training.runs import Interrupt

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


def test_processes_agree_on_the_largest_number(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        assert agree((0, 15)[rank]) == 15

    assert in_two_processes(tmp_path, work) == [0, 0]
    assert agree(2) == 2


def test_a_signal_to_one_process_stops_all_at_one_step(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        with Interrupt().watching() as interrupt:
            for step in range(10):
                if rank == 1 and step == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                if interrupt.stops():
                    break
            assert (step, interrupt.received) == (3, signal.SIGTERM)

    assert in_two_processes(tmp_path, work) == [0, 0]


def test_a_signal_during_the_agreement_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def agree_under_signal(number: int) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return number

    with Interrupt().watching() as interrupt:
        monkeypatch.setattr("vse.training.runs.agree", agree_under_signal)
        assert not interrupt.stops()
        assert interrupt.stops()
        assert interrupt.received == signal.SIGTERM


def start_two(monkeypatch: pytest.MonkeyPatch, work: Callable[[int], None]) -> list[int]:
    """Fork two processes that join as torchrun's do and call `work` -> their process ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            os.environ["RANK"] = str(rank)
            try:
                assert start(torch.device("cpu"))[:2] == (rank, 2)
                work(rank)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    return children


def test_processes_join_and_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(rank: int) -> None:
        time.sleep(rank / 2)
        leave()
        assert not dist.is_initialized()

    assert [os.waitpid(child, 0)[1] for child in start_two(monkeypatch, work)] == [0, 0]


def test_a_stopped_process_ends_the_other(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(vse.distributed, "SILENCE", 2)

    def work(rank: int) -> None:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        dist.all_reduce(torch.zeros(1))

    first, second = start_two(monkeypatch, work)
    assert os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) == 2
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)
    assert (
        "error: process 1 has not answered for 2 seconds; training goes on with --resume auto" in capfd.readouterr().err
    )
