"""Several processes under torchrun: who am I, and encodings gathered from all of them with their gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from vse.errors import InputError

if TYPE_CHECKING:
    from vse.encoders import Encoding


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
    """The device of `--device`, or the first of cuda, mps, cpu that is there.

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
    """The first process goes ahead, the others follow: what it makes and keeps (vocabulary, vectors) is made once."""
    several = dist.is_initialized() and dist.get_world_size() > 1
    if several and dist.get_rank() > 0:
        dist.barrier()
    yield
    if several and dist.get_rank() == 0:
        dist.barrier()


class _GatherRows(torch.autograd.Function):
    """Rows of all processes, one after another; backward adds up what every process sends back to these rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes, ctx.rank = sizes, dist.get_rank()
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        received = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(received, padded)
        return torch.cat([part[:size] for part, size in zip(received, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        first = sum(ctx.sizes[: ctx.rank])
        return gradient[first : first + ctx.sizes[ctx.rank]], None


def gather_rows(encoding: Encoding) -> Encoding:
    """Every process's rows of an encoding in rank order, so that negatives come from the whole global batch.

    Processes may hold different numbers of rows, and local features padded to different lengths. Every process then
    computes the same loss; with gradients averaged over processes (DistributedDataParallel) each parameter gets what
    one process with the whole batch would give it.
    """
    if not (dist.is_initialized() and dist.get_world_size() > 1):
        return encoding
    if not isinstance(encoding, Tensor):
        parts = [gather_rows(part) for part in encoding]
        return type(encoding)(*parts) if hasattr(encoding, "_fields") else tuple(parts)  # type: ignore[arg-type]
    shape = torch.tensor(encoding.shape, device=encoding.device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    sizes = [int(other[0]) for other in shapes]
    largest = torch.stack(shapes).amax(0)[1:].tolist()
    padding = [(0, wanted - own) for own, wanted in zip(encoding.shape[1:], largest, strict=True)]
    if any(after for _, after in padding):
        encoding = torch.nn.functional.pad(encoding, [amount for pair in reversed(padding) for amount in pair])
    return _GatherRows.apply(encoding, sizes)
