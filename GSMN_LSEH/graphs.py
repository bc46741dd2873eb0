"""The graphs of GSMN: which nodes are neighbours, with what weight, and what becomes of matching vectors on them.

An image's graph connects all its regions by the polar coordinates of their boxes; a caption's graph connects all its
words (dense) or those that a parse connects (sparse), by their inner products. In the published code a node's
"neighbours" are copies of the node itself, so that only the sums of its weights remain (`--graph reference`);
`--graph propagate` mixes the neighbours, as the paper says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

KERNELS = 8  # Gaussian kernels, and as many parts of a graph convolution; constant in the published code
STABLE = 1e-14  # added to squared deviations


def polar(boxes: Tensor) -> Tensor:
    """[B, R, 4] boxes (x1 y1 x2 y2) -> [B, R, R, 2]: centre i from centre j, distance and angle to the vertical."""
    centres = boxes[..., :2] + 0.5 * (boxes[..., 2:] - boxes[..., :2])
    x, y = (centres[:, :, None] - centres[:, None]).unbind(-1)
    return torch.stack([torch.sqrt(x.square() + y.square()), torch.atan2(x, y)], dim=-1)


class GaussianKernels(nn.Module):
    """Learned Gaussians over polar coordinates (Monti et al., CVPR 2017; GSMN section 3.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean_rho = nn.Parameter(torch.empty(KERNELS).uniform_(0, 1))
        self.mean_theta = nn.Parameter(torch.empty(KERNELS).uniform_(-math.pi, math.pi))
        self.precision_rho = nn.Parameter(torch.empty(KERNELS).uniform_(0, 1))
        self.precision_theta = nn.Parameter(torch.empty(KERNELS).uniform_(0, 1))

    def exponents(self, coordinates: Tensor) -> Tensor:
        """[..., 2] polar coordinates -> [..., 8] logarithms of the kernels; "precisions" are standard deviations."""
        rho, theta = coordinates[..., :1], coordinates[..., 1:]
        turn = (theta - self.mean_theta).abs()
        turn = torch.minimum(turn, (2 * math.pi - turn).abs())
        return -0.5 * (
            (rho - self.mean_rho).square() / (STABLE + self.precision_rho.square())
            + turn.square() / (STABLE + self.precision_theta.square())
        )


def region_weights(kernels: GaussianKernels, boxes: Tensor) -> Tensor:
    """Reference: [B, R, 4] boxes -> [B, R, 8], each region's weight in each kernel, summed over its neighbours.

    The published code normalises the kernels of one pair of regions to sum to 1, here as a softmax: where all kernels
    underflow, which gives the published code NaN, the nearest one gets it all.
    """
    return torch.softmax(kernels.exponents(polar(boxes)), dim=-1).sum(dim=2)


def region_graph(kernels: GaussianKernels, boxes: Tensor) -> Tensor:
    """Propagate: [B, R, 4] boxes -> [B, 8, R, R], weight of neighbour j (last) for region i; they sum to 1 over j."""
    return torch.softmax(kernels.exponents(polar(boxes)).permute(0, 3, 1, 2), dim=-1)


def adjacency(edges: Tensor, lengths: Tensor, size: int) -> Tensor:
    """[B, E, 2] edges, both ways, and the words themselves -> [B, size, size] float32; a self loop counts 2.

    Edges that are padding (-1), or lead out of their caption of `lengths` [B] words, are left out.
    """
    inside = ((edges >= 0) & (edges < lengths.to(edges.device)[:, None, None])).all(-1)
    caption, edge = inside.nonzero(as_tuple=True)
    head, dependent = edges[caption, edge].unbind(-1)
    matrix = torch.zeros(len(edges), size, size, device=edges.device)
    matrix[caption, head, dependent] = 1
    matrix[caption, dependent, head] = 1
    return matrix + torch.eye(size, device=edges.device)


def agreement(words: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """[B, L, D] words, [B, L] mask -> [B, L, L], a softmax over the words j (last) of their products with word i."""
    logits = temperature * (words @ words.mT)
    return torch.softmax(logits.masked_fill(~mask[:, None], -torch.inf), dim=-1)


def word_weights(words: Tensor, mask: Tensor, adjacent: Tensor, temperature: float) -> Tensor:
    """Reference, sparse: [B, L, 1], the factor of each word: 1, but for words with a self loop.

    Adjacency enters the published code twice, as the neighbours and as their weights, which then sum to 1.
    """
    weights = adjacent * agreement(words, mask, temperature)
    return (adjacent * weights).sum(-1, keepdim=True) / _positive(weights.sum(-1, keepdim=True))


def word_graph(words: Tensor, mask: Tensor, adjacent: Tensor | None, temperature: float) -> Tensor:
    """Propagate: [B, L, L], weight of neighbour j (last) for word i; sums to 1 over j. Dense without `adjacent`."""
    weights = agreement(words, mask, temperature)
    if adjacent is None:
        return weights
    weights = (adjacent > 0) * weights
    return weights / _positive(weights.sum(-1, keepdim=True))


def _positive(sums: Tensor) -> Tensor:
    """Sums that are divided by; those of padding are 0."""
    return sums.clamp(min=torch.finfo(sums.dtype).tiny)


class GraphConvolution(nn.Module):
    """Matching vectors of the nodes -> one number per pair: a graph convolution of eight parts and a small MLP.

    Args:
        blocks: size of a matching vector.
        hidden: size of the convolved vector, a multiple of 8.
        outputs: the MLP's outputs, averaged like the nodes.
        bias: of the convolution; the published code has one for words, by an argument in the wrong place, and none for
            regions.
        propagate: graphs mix neighbours; else (reference) they only weigh each node.
    """

    def __init__(self, blocks: int, hidden: int, outputs: int, bias: bool, propagate: bool) -> None:
        super().__init__()
        self.convolution = nn.Linear(blocks, hidden, bias=bias)
        self.out_1 = weight_norm(nn.Linear(hidden, hidden))
        self.out_2 = weight_norm(nn.Linear(hidden, outputs))
        self.propagate = propagate

    def regions(self, matching: Tensor, graph: Tensor) -> Tensor:
        """[c, n, R, K] matching vectors, `region_weights` or `region_graph` [n or c x 1, ...] -> scores [c, n]."""
        parts = self.convolution(matching).unflatten(-1, (KERNELS, -1))
        parts = (graph @ parts.transpose(-3, -2)).transpose(-3, -2) if self.propagate else parts * graph[..., None]
        return self._read_out(parts.flatten(-2)).mean(-1)

    def words(self, matching: Tensor, graph: Tensor, mask: Tensor) -> Tensor:
        """[c, n, L, K] matching vectors, `word_weights` or `word_graph` [c, ...], mask [c, L] -> scores [c, n]."""
        graph, mask = graph[:, None], mask[:, None]
        hidden = graph @ self.convolution(matching) if self.propagate else self.convolution(matching * graph)
        return (self._read_out(hidden) * mask).sum(-1) / mask.sum(-1)

    def _read_out(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.out_2(torch.tanh(self.out_1(hidden)))
        return output.mean(-1)
