"""Node-level matching of GSMN (section 3.2), for blocks of n images x m captions.

Each word is compared with what it attends to in an image, each region with what it attends to in a caption, block of
features by block. The attended vector, a weighted sum, is never formed. A cosine needs its product with the node, which
is the same weighted sum of inner products, and its length, a quadratic form of the weights with the Gram matrix of what
is attended to. Both come from tables that each image and each caption has once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vse.nn.attention import attention_over_regions, attention_over_words
from vse.nn.encoders import NORM_EPSILON


class Nodes(NamedTuple):
    """Regions of n images or words of m captions as nodes, their features split into blocks of E / blocks each."""

    features: Tensor  # [blocks, items, nodes, E / blocks], 0 at padding
    lengths: Tensor  # [items, nodes, blocks] norm of each block
    gram: Tensor  # [items, blocks, shifts * nodes], factors of the `circular_products`


def nodes(features: Tensor, blocks: int) -> Nodes:
    """Prepare regions [n, R, E] or words [m, T, E] for matching in `blocks` blocks of features."""
    parts = features.unflatten(-1, (blocks, -1)).permute(2, 0, 1, 3).contiguous()
    gram = (parts @ parts.mT).transpose(0, 1)  # [items, blocks, nodes, nodes]
    squared = gram.diagonal(dim1=-2, dim2=-1).mT
    count, half = features.shape[1], features.shape[1] // 2
    # Row i of the circle starts at column i: rows that are one longer than before make columns of diagonals.
    circle = torch.cat([gram, gram[..., :half]], dim=-1).flatten(-2)
    diagonals = torch.nn.functional.pad(circle, (0, count)).unflatten(-1, (count, -1))[
        ..., : half + 1
    ]  # [items, blocks, node, shift]
    # Pairs of different nodes count twice; halfway around an even circle each pair is met twice already.
    times = gram.new_full((half + 1,), 2.0)
    times[0] = 1.0
    if count % 2 == 0:
        times[half] = 1.0
    return Nodes(parts, _root(squared), (diagonals * times).mT.flatten(-2))


def circular_products(weights: Tensor) -> Tensor:
    """Multiply each node's weights with those 0 ... nodes // 2 places further around a circle.

    With these products the quadratic form w' G w of a symmetric G is one matrix product, half as large as with the
    products of all pairs of nodes.

    Args:
        weights: [items, nodes, others].

    Returns:
        [items, shifts * nodes, others].
    """
    count, rest = weights.shape[1:]
    circle = torch.cat([weights, weights[:, : count // 2]], dim=1).flatten(1)
    shifted = circle.unfold(1, count * rest, rest)  # [items, shifts, nodes * others], a view
    return (shifted * weights.flatten(1)[:, None]).reshape(len(weights), -1, rest)


def match(
    images: Nodes, captions: Nodes, mask: Tensor, temperature: float, pairs: bool, padding: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Match all regions of n images and all words of m captions with each other.

    Args:
        mask: [m, T] bool, True at words.
        temperature: factor of the attention's logits.
        pairs: match image i with caption i only; n is 1 in the result.
        padding: [n, R] bool, True where an image has no region; None: nowhere.

    Returns:
        Matching vectors of the regions [m, n, R, blocks] and of the words [m, n, T, blocks], 0 at padding; each entry
        is a cosine.
    """
    blocks, captions_count, length, _ = captions.features.shape
    if pairs:
        products = (captions.features @ images.features.mT)[:, :, :, None]
        image_lengths = images.lengths[:, None]
    else:
        products = captions.features.flatten(1, 2) @ images.features.flatten(1, 2).mT
        products = products.view(blocks, captions_count, length, *images.features.shape[1:3])  # [blocks, m, T, n, R]
        image_lengths = images.lengths
    count, regions = products.shape[3:]
    agreement = products.sum(0).permute(2, 0, 1, 3)  # [n, m, T, R]

    if padding is not None:
        padding = padding[None, :, None] if pairs else padding[:, None, None]
    seen = attention_over_regions(agreement, temperature, padding)
    owners = seen.transpose(0, 1) if pairs else seen  # images first
    terms = circular_products(owners.permute(0, 3, 1, 2).flatten(2))
    squared = (images.gram @ terms).view(-1, blocks, *owners.shape[1:3])
    squared = squared.permute(0, 2, 3, 1) if pairs else squared.permute(2, 0, 3, 1)  # [m, n, T, blocks]
    along = (products * seen.permute(1, 2, 0, 3).contiguous()).sum(-1).permute(1, 3, 2, 0)
    words = _cosine(along, captions.lengths[:, None], squared)

    read = attention_over_words(agreement, mask, temperature).permute(1, 2, 0, 3).contiguous()  # [m, T, n, R]
    terms = circular_products(read.flatten(2))
    squared = (captions.gram @ terms).view(captions_count, blocks, count, regions).permute(0, 2, 3, 1)
    return _cosine((products * read).sum(2).permute(1, 2, 3, 0), image_lengths, squared), words


def _cosine(along: Tensor, lengths: Tensor, squared: Tensor) -> Tensor:
    return along / (lengths * _root(squared)).clamp(min=NORM_EPSILON)


def _root(squared: Tensor) -> Tensor:
    """Square root; 0, and rounding below 0, count as the smallest number and get no gradient."""
    return squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
