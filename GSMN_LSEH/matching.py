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

from vse.attention import EPSILON, attention_over_regions, attention_over_words


class Nodes(NamedTuple):
    """Regions or words of a few images or captions, split into K blocks of d = D / K features."""

    features: Tensor  # [b, N, K, d], 0 at padding
    lengths: Tensor  # [b, N, K] length of each block
    gram: Tensor  # [b, shifts * N, K], what `quadratic_terms` is multiplied with


def nodes(features: Tensor, blocks: int) -> Nodes:
    """[b, N, D] regions or words -> what matching needs of them."""
    parts = features.unflatten(-1, (blocks, -1))
    by_block = parts.transpose(1, 2)
    gram = by_block @ by_block.mT  # [b, K, N, N]
    squared = gram.diagonal(dim1=-2, dim2=-1).mT
    # Row `shift`, column i of the table: what node i and node i + shift, round in a circle, contribute together.
    count = features.shape[1]
    shift = torch.arange(count // 2 + 1, device=features.device)[:, None]
    first = torch.arange(count, device=features.device).expand(len(shift), count)
    twice = 2.0 - ((shift == 0) | (2 * shift == count)).to(gram.dtype)
    table = gram[..., first, (first + shift) % count] * twice
    return Nodes(parts, _root(squared), table.flatten(-2).mT)


def quadratic_terms(weights: Tensor, dim: int) -> Tensor:
    """The products of all pairs of weights along `dim` -> the same shape, but `dim` is now shifts * N long."""
    count = weights.shape[dim]
    circle = torch.cat([weights, weights.narrow(dim, 0, count // 2)], dim)
    shifted = circle.unfold(dim, count, 1).movedim(-1, dim + 1)  # shift at dim, node at dim + 1; a view
    return (shifted * weights.unsqueeze(dim)).flatten(dim, dim + 1)


def match(images: Nodes, captions: Nodes, mask: Tensor, temperature: float, pairs: bool) -> tuple[Tensor, Tensor]:
    """Matching vectors, K cosines each, of all regions and of all words of c captions against n images.

    Args:
        mask: [c, L], True at words.
        temperature: factor of the attention's logits.
        pairs: image i only against caption i, so that n stands for 1 in the result.

    Returns:
        [c, n, R, K] of the regions, [c, n, L, K] of the words, 0 at padding.
    """
    image = "c" if pairs else "n"
    products = torch.einsum(f"clkd,{image}rkd->kcl{image if not pairs else ''}r", captions.features, images.features)
    if pairs:
        products = products.unsqueeze(3)
    agreement = products.sum(0).permute(2, 0, 1, 3)  # [n, c, L, R]
    own = images.lengths[:, None] if pairs else images.lengths

    seen = attention_over_regions(agreement, temperature).permute(1, 2, 0, 3).contiguous()  # [c, L, n, R]
    along = (products * seen).sum(-1).permute(1, 3, 2, 0)
    terms = quadratic_terms(seen, 3)
    squared = torch.einsum(f"clnf,{image}fk->cnlk", terms, images.gram)
    words = _cosine(along, captions.lengths[:, None], squared)

    read = attention_over_words(agreement, mask, temperature).permute(1, 2, 0, 3).contiguous()  # [c, L, n, R]
    along = (products * read).sum(2).permute(1, 2, 3, 0)
    terms = quadratic_terms(read, 1)
    squared = torch.einsum("cfnr,cfk->cnrk", terms, captions.gram)
    regions = _cosine(along, own, squared)
    return regions, words


def _cosine(along: Tensor, lengths: Tensor, squared: Tensor) -> Tensor:
    return along / (lengths * _root(squared)).clamp(min=EPSILON)


def _root(squared: Tensor) -> Tensor:
    """Square root; 0, and rounding below it, count as the smallest number and get no gradient."""
    return squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
