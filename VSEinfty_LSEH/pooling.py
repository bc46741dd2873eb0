"""GPO, the generalised pooling operator (Chen et al., CVPR 2021, section 3): how to average is learned, by rank."""

from __future__ import annotations

from math import log

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from vse.nn.recurrence import GRU, pad

TEMPERATURE = 0.1
PADDING = -10000.0


class GeneralisedPooling(nn.Module):
    """n feature vectors -> one: each dimension is sorted on its own, and the k-th largest value gets weight k of n.

    The weights depend on n only: a GRU reads the encoded ranks 0 ... n - 1 in both directions, a linear layer scores
    its states, and a softmax with temperature 0.1 (which the paper does not mention) makes weights of the scores.
    Average pooling (1/n, ..., 1/n) and maximum pooling (1, 0, ..., 0) are special cases.

    Args:
        position_size: size of a rank's encoding, even.
        hidden_size: size of the GRU's states.
    """

    def __init__(self, position_size: int = 32, hidden_size: int = 32) -> None:
        super().__init__()
        self.position_size = position_size
        self.gru = GRU(position_size, hidden_size, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(hidden_size, 1, bias=False)

    def weights(self, lengths: Tensor) -> Tensor:
        """[B] numbers of features, all > 0, int64 -> [B, max(lengths)] weights: rows sum to 1, padding is exactly 0."""
        distinct, which = lengths.unique(return_inverse=True)
        longest = int(distinct[-1])
        parameter = self.linear.weight
        # Under autocast too: bfloat16 would leave two digits of weights that differ by a few percent.
        with torch.autocast(parameter.device.type, enabled=False):
            ranks = rank_encoding(longest, self.position_size).to(parameter)
            packed = pack_padded_sequence(
                ranks.expand(len(distinct), -1, -1), distinct.cpu(), batch_first=True, enforce_sorted=False
            )
            states = pad(self.gru(packed)[0], longest)
            scores = self.linear(states.unflatten(-1, (2, -1)).mean(dim=-2)).squeeze(-1)
            padding = torch.arange(longest, device=scores.device) >= distinct[:, None].to(scores.device)
            return (scores.masked_fill(padding, PADDING) / TEMPERATURE).softmax(dim=1)[which.to(scores.device)]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features [B, N, E], of which the first `lengths` [B] of each row count -> [B, E]."""
        weights = self.weights(lengths)
        columns = features[:, : weights.shape[1]].transpose(1, 2)
        padding = torch.arange(columns.shape[2], device=columns.device) >= lengths.to(columns.device)[:, None]
        columns = columns.masked_fill(padding[:, None], PADDING).contiguous()  # sorting wants values side by side
        return torch.einsum("ben,bn->be", columns.gather(2, descending(columns)), weights.to(columns.dtype))


def rank_encoding(ranks: int, size: int) -> Tensor:
    """Sines and cosines of ranks 0 ... ranks - 1 in turn (Vaswani et al., 2017), float32 [ranks, size], `size` even."""
    frequency = torch.exp(torch.arange(0, size, 2) * (-log(10000.0) / size))
    angle = torch.arange(ranks)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def descending(values: Tensor) -> Tensor:
    """[..., N] -> int64 [..., N], the places of the largest, second largest, ... along the last dimension."""
    if values.device.type == "cpu":
        # On the CPU torch's sort takes most of the operator's time, NumPy's vectorised one a third of that.
        return torch.from_numpy(np.argsort(-values.detach().numpy(), axis=-1))
    return values.argsort(dim=-1, descending=True)
