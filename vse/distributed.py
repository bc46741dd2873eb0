"""Several processes under torchrun: who am I, and encodings gathered from all of them with their gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from vse.errors import InputError


def start(device: torch.device) -> tuple[int, int, torch.device]:
    """Join the processes that torchrun started -> (rank, world size, this process's device); (0, 1) without it."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return 0, 1, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return dist.get_rank(), world_size, device


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
    if name is not None and name.split(":")[0] not in there:
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
        dist.broadcast_object_list(succeeded, src=0)
        if not succeeded[0]:
            raise InputError("the first process could not prepare the data; see its message")
        yield
        return
    try:
        yield
        succeeded = [True]
    finally:
        dist.broadcast_object_list(succeeded, src=0)
