"""GPO, the generalised pooling operator: learn the weights of an average over sorted values.

Chen et al., "Learning the Best Pooling Strategy for Visual Semantic Embedding", CVPR 2021, section 3. "Features" are
the local features of an image or the states of a caption; L is their number, padding included.
"""

from __future__ import annotations

from math import log

import numpy as np
import torch
from torch import Tensor, nn

from vse.nn.attention import word_mask
from vse.nn.recurrence import GRU, pack, pad
from vse.nn.transfer import send

TEMPERATURE = 0.1
PADDING = -10000.0


class GeneralisedPooling(nn.Module):
    """Pool n feature vectors: sort each dimension separately, then average with the weights of n sorted values.

    Value k in descending order gets weight k; the weights depend on n only. A bidirectional GRU reads the encoded
    positions 0 ... n - 1, a linear layer maps its states to logits, and a softmax with temperature 0.1 (which the paper
    does not mention) maps them to weights. Average pooling (1/n, ..., 1/n) and maximum pooling (1, 0, ..., 0) are
    special cases.

    Args:
        position_size: size of a position's encoding, even.
        hidden_size: size of the GRU's states.
    """

    def __init__(self, position_size: int = 32, hidden_size: int = 32) -> None:
        super().__init__()
        self.position_size = position_size
        self.gru = GRU(position_size, hidden_size, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(hidden_size, 1, bias=False)

    def weights(self, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Compute weights for `lengths` [B] > 0, int64 -> [B, longest]; rows sum to 1, padding is exactly 0."""
        distinct, which = lengths.cpu().unique(return_inverse=True)
        longest = int(distinct[-1]) if longest is None else longest
        parameter = self.linear.weight
        # In float32 under autocast too: bfloat16 has two digits, and weights differ by a few percent.
        with torch.autocast(parameter.device.type, enabled=False):
            ranks = send(rank_encoding(longest, self.position_size).to(parameter.dtype), parameter.device)
            states = pad(self.gru(pack(ranks.expand(distinct.shape[0], -1, -1), distinct))[0], longest)
            scores = self.linear(states.unflatten(-1, (2, -1)).mean(dim=-2)).squeeze(-1)
            padding = ~word_mask(distinct, longest, scores.device)
            return (scores.masked_fill(padding, PADDING) / TEMPERATURE).softmax(dim=1)[send(which, scores.device)]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Pool features [B, L, E], of which the first `lengths` [B] of each item count -> [B, E]."""
        # A trace holds the longest of its own lengths as a number, but the shape as a shape.
        weights = self.weights(lengths, features.shape[1] if torch.onnx.is_in_onnx_export() else None)
        columns = features[:, : weights.shape[1]].transpose(1, 2)
        padding = ~word_mask(lengths, columns.shape[2], columns.device)
        columns = columns.masked_fill(padding[:, None], PADDING).contiguous()  # faster to sort
        return torch.einsum("ben,bn->be", columns.gather(2, descending(columns)), weights.to(columns.dtype))


def rank_encoding(ranks: int, size: int) -> Tensor:
    """Encode positions 0 ... ranks - 1 by alternating sines and cosines -> float32 [ranks, size], `size` even.

    Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    frequency = torch.exp(torch.arange(0, size, 2) * (-log(10000.0) / size))
    angle = torch.arange(ranks)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def descending(values: Tensor) -> Tensor:
    """Sort the last dimension in descending order: values [..., L] -> their indices [..., L] int64."""
    if values.device.type == "cpu" and not torch.onnx.is_in_onnx_export():
        # NumPy's vectorised sort takes a third of the time of torch's, which would dominate the operator.
        return torch.from_numpy(np.argsort(-values.detach().numpy(), axis=-1))
    return values.argsort(dim=-1, descending=True)
