"""Several processes under torchrun: who am I, and encodings gathered from all of them with their gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vse.nn.network import Encoding


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
