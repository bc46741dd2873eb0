"""Gather rows of all processes under torchrun, with their gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def largest_of_all(tensor: Tensor) -> Tensor:
    """Replace a tensor by its largest values over all processes; the host does not wait."""
    if dist.is_initialized():
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor


class _GatherRows(torch.autograd.Function):
    """Concatenate the rows of all processes; backward sums the gradients of all processes for the rows of this one."""

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


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes in rank order, so that negatives come from the whole global batch.

    Processes may hold different numbers of rows; further dimensions (words, regions) are padded with zeros to the
    longest. Every process then computes the same loss: with gradients averaged over the processes
    (DistributedDataParallel), each parameter gets the gradient that one process with the whole batch would compute.
    """
    if not (dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    if rows.device.type == "cpu" and dist.get_backend() == "nccl":  # lengths, which NCCL cannot see on the host
        return gather_rows(rows.to("cuda")).cpu()
    shape = torch.tensor(rows.shape, device=rows.device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    sizes = [int(other[0]) for other in shapes]
    largest = torch.stack(shapes).amax(0)[1:].tolist()
    padding = [(0, wanted - own) for own, wanted in zip(rows.shape[1:], largest, strict=True)]
    if any(after for _, after in padding):
        rows = torch.nn.functional.pad(rows, [amount for pair in reversed(padding) for amount in pair])
    gathered: Tensor = _GatherRows.apply(rows, sizes)
    return gathered
