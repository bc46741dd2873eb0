"""The graphs of GSMN: neighbours and their weights, and the convolution of matching vectors over them.

The graph of an image connects all its regions, weighted by the polar coordinates of their boxes. The graph of a
caption connects all its words (dense) or those that a parse connects (sparse), weighted by their inner products. In the
original code the "neighbours" of a node are copies of the node itself, so that only the sums of its weights remain
("reference"). "propagate" mixes the neighbours, as the paper describes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vse.nn.transfer import send

KERNELS = 8  # Gaussian kernels, and as many parts of a graph convolution; constant in the original code
STABLE = 1e-14  # added to squared deviations


def polar(boxes: Tensor) -> Tensor:
    """Locate box centres i relative to centres j: boxes [B, R, 4] (x1 y1 x2 y2) -> distance and angle [B, R, R, 2].

    Angles are in radians, from the vertical.
    """
    centres = boxes[..., :2] + 0.5 * (boxes[..., 2:] - boxes[..., :2])
    x, y = (centres[:, :, None] - centres[:, None]).unbind(-1)
    return torch.stack([torch.sqrt(x.square() + y.square()), torch.atan2(x, y)], dim=-1)


class GaussianKernels(nn.Module):
    """Learned Gaussian kernels over polar coordinates (Monti et al., CVPR 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean_rho = nn.Parameter(torch.empty(KERNELS).uniform_(0, 1))
        self.mean_theta = nn.Parameter(torch.empty(KERNELS).uniform_(-math.pi, math.pi))
        self.precision_rho = nn.Parameter(torch.empty(KERNELS).uniform_(0, 1))
        self.precision_theta = nn.Parameter(torch.empty(KERNELS).uniform_(0, 1))

    def exponents(self, coordinates: Tensor) -> Tensor:
        """Compute logarithms of the kernels at polar coordinates [..., 2] -> [..., 8].

        The parameters that the original code names "precision" are standard deviations.
        """
        rho, theta = coordinates[..., :1], coordinates[..., 1:]
        turn = (theta - self.mean_theta).abs()
        turn = torch.minimum(turn, (2 * math.pi - turn).abs())
        return -0.5 * (
            (rho - self.mean_rho).square() / (STABLE + self.precision_rho.square())
            + turn.square() / (STABLE + self.precision_theta.square())
        )


def region_weights(kernels: GaussianKernels, boxes: Tensor, padding: Tensor | None = None) -> Tensor:
    """Sum each region's weights over its neighbours, per kernel ("reference"): boxes [B, R, 4] -> [B, R, 8].

    `padding` [B, R] is True where an image has no region.

    The original code normalises the kernels of a pair of regions to sum to 1. Here that is a softmax: where all kernels
    underflow, which gives NaN in the original code, the nearest kernel gets all the weight.
    """
    weights = torch.softmax(kernels.exponents(polar(boxes)), dim=-1)
    if padding is not None:
        weights = weights.masked_fill(padding[:, None, :, None], 0.0)
    return weights.sum(dim=2)


def region_graph(kernels: GaussianKernels, boxes: Tensor, padding: Tensor | None = None) -> Tensor:
    """Weigh the neighbours j (last) of regions i, per kernel ("propagate"): boxes [B, R, 4] -> [B, 8, R, R].

    The weights of a region sum to 1 over its neighbours. `padding` [B, R] is True where an image has no region.
    """
    exponents = kernels.exponents(polar(boxes)).permute(0, 3, 1, 2)
    if padding is not None:
        exponents = exponents.masked_fill(padding[:, None, None], -torch.inf)
    return torch.softmax(exponents, dim=-1)


def adjacency(edges: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Connect words by edges [B, edges, 2], in both directions, and each word with itself -> [B, size, size] float32.

    An entry is 1 for neighbours, 0 for others; for a word itself 1, or 2 if it has an edge to itself. Edges that are
    padding (-1) or lead out of their caption of `lengths` [B] words are ignored.
    """
    inside = ((edges >= 0) & (edges < send(lengths, edges.device)[:, None, None])).all(-1)
    caption, edge = inside.nonzero(as_tuple=True)
    head, dependent = edges[caption, edge].unbind(-1)
    matrix = torch.zeros(len(edges), size, size, device=edges.device)
    matrix[caption, head, dependent] = 1
    matrix[caption, dependent, head] = 1
    return matrix + torch.eye(size, device=edges.device)


def agreement(words: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Compare words i with words j (last): words [B, T, E], mask [B, T] -> softmax of inner products [B, T, T]."""
    logits = temperature * (words @ words.mT)
    return torch.softmax(logits.masked_fill(~mask[:, None], -torch.inf), dim=-1)


def word_weights(words: Tensor, mask: Tensor, adjacent: Tensor, temperature: float) -> Tensor:
    """Compute the factor of each word in a sparse graph ("reference") -> [B, T, 1]; 1 except for self loops.

    The adjacency enters the original code twice: as the neighbours, and in their weights, which then sum to 1.

    Args:
        words: [B, T, E].
        mask: [B, T] bool, True at words.
        adjacent: the result of `adjacency`.
        temperature: factor of the logits.
    """
    weights = adjacent * agreement(words, mask, temperature)
    return (adjacent * weights).sum(-1, keepdim=True) / _positive(weights.sum(-1, keepdim=True))


def word_graph(words: Tensor, mask: Tensor, adjacent: Tensor | None, temperature: float) -> Tensor:
    """Weigh the neighbours j (last) of words i ("propagate") -> [B, T, T], summing to 1 over j.

    The arguments are those of `word_weights`; without `adjacent` all words are neighbours.
    """
    weights = agreement(words, mask, temperature)
    if adjacent is None:
        return weights
    weights = (adjacent > 0) * weights
    return weights / _positive(weights.sum(-1, keepdim=True))


def _positive(sums: Tensor) -> Tensor:
    """Make sums safe to divide by; those of padding are 0."""
    return sums.clamp(min=torch.finfo(sums.dtype).tiny)


class GraphConvolution(nn.Module):
    """Turn the matching vectors of a pair's nodes into a score: a graph convolution of eight parts and a small MLP.

    Args:
        blocks: size of a matching vector.
        hidden: size of the convolved vector, a multiple of 8.
        outputs: outputs of the MLP, which are averaged, as are the nodes.
        bias: add a bias to the convolution. The original code has one for words, by an argument in the wrong place,
            and none for regions.
        propagate: graphs mix neighbours; otherwise ("reference") they only weigh each node.
    """

    def __init__(self, blocks: int, hidden: int, outputs: int, bias: bool, propagate: bool) -> None:
        super().__init__()
        self.convolution = nn.Linear(blocks, hidden, bias=bias)
        self.out_1 = weight_norm(nn.Linear(hidden, hidden))
        self.out_2 = weight_norm(nn.Linear(hidden, outputs))
        self.propagate = propagate

    def regions(self, matching: Tensor, graph: Tensor, padding: Tensor | None = None) -> Tensor:
        """Score images by their regions -> [m, n].

        Args:
            matching: [m, n, R, blocks] matching vectors.
            graph: `region_weights` or `region_graph` of the n images, or [m, 1, ...] of one image per caption.
            padding: [n, R] bool, or [m, 1, R] of one image per caption, True where an image has no region.
        """
        parts = self.convolution(matching).unflatten(-1, (KERNELS, -1))
        parts = (graph @ parts.transpose(-3, -2)).transpose(-3, -2) if self.propagate else parts * graph[..., None]
        scores = self._read_out(parts.flatten(-2))
        if padding is None:
            return scores.mean(-1)
        return scores.masked_fill(padding, 0.0).sum(-1) / (~padding).sum(-1)

    def words(self, matching: Tensor, graph: Tensor, mask: Tensor) -> Tensor:
        """Score captions by their words -> [m, n].

        Args:
            matching: [m, n, T, blocks] matching vectors.
            graph: `word_weights` or `word_graph` of the m captions.
            mask: [m, T] bool, True at words.
        """
        graph, mask = graph[:, None], mask[:, None]
        hidden = graph @ self.convolution(matching) if self.propagate else self.convolution(matching * graph)
        return (self._read_out(hidden) * mask).sum(-1) / mask.sum(-1)

    def _read_out(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.out_2(torch.tanh(self.out_1(hidden)))
        return output.mean(-1)
