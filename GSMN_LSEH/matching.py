"""Node-level matching: each word against what it attends to in an image, each region against what it attends to in a
caption, block of features by block (Liu et al., GSMN, section 3.2), for blocks of images x captions.

What a node attends to, a weighted sum of D features, is never formed. A cosine needs its product with the node, which
is the same weighted sum of the pair's inner products, and its length, a quadratic form of the weights with the Gram
matrix of what is attended to. Per block of features both are taken from tables that each image and each caption has
once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vse.nn.attention import attention_over_regions, attention_over_words
from vse.nn.encoders import NORM_EPSILON


class Nodes(NamedTuple):
    """Regions or words of a few images or captions, split into K blocks of d = D / K features."""

    features: Tensor  # [K, b, N, d], 0 at padding
    lengths: Tensor  # [b, N, K] length of each block
    gram: Tensor  # [b, K, shifts * N], what `circular_products` are multiplied with


def nodes(features: Tensor, blocks: int) -> Nodes:
    """[b, N, D] regions or words -> what matching needs of them."""
    parts = features.unflatten(-1, (blocks, -1)).permute(2, 0, 1, 3).contiguous()
    gram = (parts @ parts.mT).transpose(0, 1)  # [b, K, N, N]
    squared = gram.diagonal(dim1=-2, dim2=-1).mT
    count, half = features.shape[1], features.shape[1] // 2
    # Row i of the circle, begun at column i: rows that are one longer than they were make columns of diagonals.
    circle = torch.cat([gram, gram[..., :half]], dim=-1).flatten(-2)
    diagonals = torch.nn.functional.pad(circle, (0, count)).unflatten(-1, (count, -1))[
        ..., : half + 1
    ]  # [b, K, node, shift]
    # Pairs of different nodes count twice; half way round an even circle each of them is met twice as it is.
    times = gram.new_full((half + 1,), 2.0)
    times[0] = 1.0
    if count % 2 == 0:
        times[half] = 1.0
    return Nodes(parts, _root(squared), (diagonals * times).mT.flatten(-2))


def circular_products(weights: Tensor) -> Tensor:
    """[b, N, m] weights -> [b, shifts * N, m]: each node's with those 0 ... N // 2 places on in a circle.

    With them the quadratic form w' G w of a symmetric G is one product, half as large as with all N * N of them.
    """
    count, rest = weights.shape[1:]
    circle = torch.cat([weights, weights[:, : count // 2]], dim=1).flatten(1)
    shifted = circle.unfold(1, count * rest, rest)  # [b, shifts, N * m], a view
    return (shifted * weights.flatten(1)[:, None]).reshape(len(weights), -1, rest)


def match(images: Nodes, captions: Nodes, mask: Tensor, temperature: float, pairs: bool) -> tuple[Tensor, Tensor]:
    """Matching vectors, K cosines each, of all regions and of all words of c captions against n images.

    Args:
        mask: [c, L], True at words.
        temperature: factor of the attention's logits.
        pairs: image i only against caption i; n is 1 in the result.

    Returns:
        [c, n, R, K] of the regions, [c, n, L, K] of the words, 0 at padding.
    """
    blocks, captions_count, length, _ = captions.features.shape
    if pairs:
        products = (captions.features @ images.features.mT)[:, :, :, None]
        image_lengths = images.lengths[:, None]
    else:
        products = captions.features.flatten(1, 2) @ images.features.flatten(1, 2).mT
        products = products.view(blocks, captions_count, length, *images.features.shape[1:3])  # [K, c, L, n, R]
        image_lengths = images.lengths
    count, regions = products.shape[3:]
    agreement = products.sum(0).permute(2, 0, 1, 3)  # [n, c, L, R]

    seen = attention_over_regions(agreement, temperature)
    owners = seen.transpose(0, 1) if pairs else seen  # each image's own first
    terms = circular_products(owners.permute(0, 3, 1, 2).flatten(2))
    squared = (images.gram @ terms).view(-1, blocks, *owners.shape[1:3])
    squared = squared.permute(0, 2, 3, 1) if pairs else squared.permute(2, 0, 3, 1)  # [c, n, L, K]
    along = (products * seen.permute(1, 2, 0, 3).contiguous()).sum(-1).permute(1, 3, 2, 0)
    words = _cosine(along, captions.lengths[:, None], squared)

    read = attention_over_words(agreement, mask, temperature).permute(1, 2, 0, 3).contiguous()  # [c, L, n, R]
    terms = circular_products(read.flatten(2))
    squared = (captions.gram @ terms).view(captions_count, blocks, count, regions).permute(0, 2, 3, 1)
    return _cosine((products * read).sum(2).permute(1, 2, 3, 0), image_lengths, squared), words


def _cosine(along: Tensor, lengths: Tensor, squared: Tensor) -> Tensor:
    return along / (lengths * _root(squared)).clamp(min=NORM_EPSILON)


def _root(squared: Tensor) -> Tensor:
    """Square root; 0, and rounding below it, count as the smallest number and get no gradient."""
    return squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
