"""Several processes under torchrun: join, agree, wait for each other, and notice a lost one.

A collective operation fails if a process was killed, and hangs if one is stopped (SIGSTOP, a hanging machine). Each
process therefore reports once a second in torchrun's store that it is alive, and ends when another has been silent for
`SILENCE` seconds. Waiting for work of unknown length (the first process prepares data or writes a checkpoint) uses a
group of CPU tensors without a time limit.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from vse.console import complain
from vse.errors import InputError

TIMEOUT = timedelta(minutes=10)
"""Longest wait of a training step for processes that live."""

SILENCE = 25
"""Seconds without a sign of life after which a process is lost."""

_patient: Any = None  # gloo; where `start` was not called, the default group
_pulse: _Pulse | None = None


def start(device: torch.device) -> tuple[int, int, torch.device]:
    """Join the processes that torchrun started -> (rank, world size, this process's device); (0, 1) without it."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return 0, 1, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        _join(device)
    return dist.get_rank(), world_size, device


def _join(device: torch.device) -> None:
    global _patient, _pulse
    store, rank, world_size = next(dist.rendezvous("env://", timeout=TIMEOUT))
    _pulse = _Pulse(store, rank, world_size)
    _pulse.wait_for_all()
    _pulse.start()
    cuda = device.type == "cuda"
    dist.init_process_group(
        "nccl" if cuda else "gloo",
        store=dist.PrefixStore("group", store),
        rank=rank,
        world_size=world_size,
        timeout=TIMEOUT,
        device_id=device if cuda else None,
    )
    _patient = dist.new_group(backend="gloo", timeout=timedelta(days=7))


def leave() -> None:
    """Wait until every process is done, and part."""
    global _patient, _pulse
    if not dist.is_initialized():
        return
    if _pulse is not None:
        _pulse.leaving = True
    wait_for_all()
    if _pulse is not None:
        _pulse.stop()
    dist.destroy_process_group()
    _patient = _pulse = None


def wait_for_all() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier(group=_patient)


def agree(number: int) -> int:
    """Return the largest number that any process has; each must call it."""
    if not dist.is_initialized():
        return number
    largest = torch.tensor(number)
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=_patient)
    return int(largest)


def rank_and_size() -> tuple[int, int]:
    """Return this process's rank and the number of processes; (0, 1) without `start`."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def add_up(tensor: torch.Tensor) -> None:
    """Replace a tensor on the CPU by the sum over all processes; each must call it."""
    dist.all_reduce(tensor, group=_patient)


def gather_objects(own: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Return what each process has, rank by rank; each must call it."""
    if not dist.is_initialized():
        return [own]
    gathered: list[dict[str, torch.Tensor]] = [{}] * dist.get_world_size()
    dist.all_gather_object(gathered, own, group=_patient)
    return gathered


class _Pulse(threading.Thread):
    """Tells the other processes that this one is alive, and ends this one if another is not."""

    def __init__(self, store: dist.Store, rank: int, world_size: int) -> None:
        super().__init__(daemon=True, name="pulse")
        self.store = dist.PrefixStore("pulse", store.clone())
        self.rank = rank
        self.others = [other for other in range(world_size) if other != rank]
        self.leaving = False
        self._ended = threading.Event()

    def wait_for_all(self) -> None:
        """Wait until every process has started; Python sees a signal meanwhile, which it doesn't within the store."""
        self.store.set(str(self.rank), "0")
        while not self.store.check([str(other) for other in self.others]):
            time.sleep(0.02)

    def run(self) -> None:
        # Own beats count, not the clock: a job that is suspended as a whole (Slurm does that) loses nobody.
        heard = dict.fromkeys(self.others, (b"0", 0))
        beat = 0
        while not self._ended.wait(1.0):
            beat += 1
            try:
                self.store.set(str(self.rank), str(beat))
                signs = self.store.multi_get([str(other) for other in self.others])
            except RuntimeError:
                if self.leaving:
                    return
                _give_up("torchrun's store does not answer")
            for other, sign in zip(self.others, signs, strict=True):
                if sign != heard[other][0]:
                    heard[other] = (sign, beat)
                elif beat - heard[other][1] >= SILENCE:
                    _give_up(f"process {other} has not answered for {SILENCE} seconds")

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _give_up(reason: str) -> NoReturn:
    """End this process from its thread: the main thread waits for the lost one, deaf to everything."""
    complain(f"error: {reason}; training goes on with --resume auto")
    os._exit(2)


def choose_device(name: str | None) -> torch.device:
    """Return the device of `--device`, or the first of cuda, mps, cpu that is there.

    Raises:
        InputError: the named device is not there.
    """
    there = [
        kind
        for kind, here in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
            ("cpu", True),
        )
        if here
    ]
    if name is not None and not re.fullmatch(rf"({'|'.join(there)})(:\d{{1,3}})?", name):
        raise InputError(f"--device {name}: not available here; expected one of {', '.join(there)}")
    return torch.device(name or there[0])


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let the first process go ahead and the others follow: what it makes and keeps (vocabulary, vectors) is made once.

    Raises:
        InputError: in the other processes, if the first one has failed.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        yield
        return
    succeeded = [False]
    if dist.get_rank() > 0:
        dist.broadcast_object_list(succeeded, src=0, group=_patient)
        if not succeeded[0]:
            raise InputError("the first process could not prepare the data; see its message")
        yield
        return
    try:
        yield
        succeeded = [True]
    finally:
        dist.broadcast_object_list(succeeded, src=0, group=_patient)
