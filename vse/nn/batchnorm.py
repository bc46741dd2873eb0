"""BatchNorm over the rows of all processes under torchrun; torch's own SyncBatchNorm refuses CPU tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """Add up a tensor over all processes; backward adds up its gradients."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        whole = own.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


class SynchronisedBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm1d whose statistics in training are those of the rows of all processes."""

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise each channel of rows [N, C] or [N, C, L]; N may differ between the processes."""
        if not self.training:
            return super().forward(rows)
        over, channels = [0, *range(2, rows.ndim)], (1, -1, *[1] * (rows.ndim - 2))
        precise = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
        size = precise.new_full((1,), rows.numel() // rows.shape[1])
        sums: Tensor = _SumOverProcesses.apply(torch.cat([size, precise.sum(over)]))
        size, mean = sums[0].detach(), sums[1:] / sums[0]
        centred = precise - mean.view(channels)
        squares: Tensor = _SumOverProcesses.apply(centred.square().sum(over))  # in a second pass: nothing cancels
        variance = squares / size
        self._remember(mean, squares / (size - 1))
        normalised = centred * (variance + self.eps).rsqrt().view(channels)
        return (normalised * self.weight.view(channels) + self.bias.view(channels)).to(rows.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.momentum is None:
            raise ValueError("a cumulative average of statistics is not supported")
        self.get_buffer("running_mean").lerp_(mean, self.momentum)
        self.get_buffer("running_var").lerp_(variance, self.momentum)
        self.get_buffer("num_batches_tracked").add_(1)


def synchronise(network: nn.Module) -> None:
    """Let every BatchNorm1d of a network see the rows of all processes; parameters, buffers and names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm1d:
            module.__class__ = SynchronisedBatchNorm1d
