"""Cross attention between regions and words, for whole blocks of images x captions (Lee et al., SCAN, ECCV 2018).

Shapes: n images of R regions, c captions padded to L words, D features. The inner products of a block are
[n, c, L, R], in whatever memory order is cheapest. Words are given as [c, L, D], every image against every caption, or
as [n, c, L, D], each image against captions of its own (pairs: c = 1). Padded words must be exactly 0; they then leave
every other word's result as it would be if the caption stood alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from vse.nn.encoders import NORM_EPSILON

SLOPE = 0.1  # of the LeakyReLU on inner products

CACHED_ROWS = 1024  # image-word pairs per CPU thread whose D features stay in its second-level cache, or nearly


def inner_products(regions: Tensor, words: Tensor) -> Tensor:
    """[n, R, D] regions, [c, L, D] or [n, c, L, D] words -> their inner products [n, c, L, R]."""
    images, count, _ = regions.shape
    captions, length, _ = words.shape[-3:]
    if words.ndim == 3:
        products = words.flatten(0, 1) @ regions.flatten(0, 1).T
        return products.view(captions, length, images, count).permute(2, 0, 1, 3)
    return (words.flatten(1, 2) @ regions.mT).view(images, captions, length, count)


def attention_over_regions(products: Tensor, temperature: float) -> Tensor:
    """What each word looks at: inner products [n, c, L, R] -> weights [n, c, L, R] that sum to 1 over the regions.

    The rectified products are L2-normalised over the words of the caption before the softmax (SCAN, text to image).
    """
    attended = _normalised(leaky_relu(products, SLOPE), dim=-2)
    return torch.softmax(temperature * attended, dim=-1)


def attention_over_words(products: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """What each region looks at: inner products [n, c, L, R] -> weights [n, c, L, R] that sum to 1 over the words.

    The rectified products are L2-normalised over the regions before the softmax (SCAN, image to text); `mask`
    [c, L] or [n, c, L] is True at words, padding gets weight 0.
    """
    attended = _normalised(leaky_relu(products, SLOPE), dim=-1)
    return torch.softmax((temperature * attended).masked_fill(~mask[..., None], -torch.inf), dim=-2)


def _normalised(products: Tensor, dim: int) -> Tensor:
    """`l2norm` with `NORM_EPSILON`, ten times faster along such short dimensions; zero vectors get no gradient."""
    squared = products.square().sum(dim, keepdim=True)
    norm = squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
    return products * torch.where(squared > 0, 1 / (norm + NORM_EPSILON), 0)


def word_mask(lengths: Tensor, length: int, device: torch.device) -> Tensor:
    """[...] lengths -> bool [..., length] on `device`, True at words."""
    return torch.arange(length, device=device) < lengths.to(device)[..., None]


class CaptionBlock(NamedTuple):
    """Captions of like length that are scored together."""

    rows: Tensor  # [c] int64, on the CPU
    length: int  # words of the longest


def caption_blocks(lengths: Tensor, words: int) -> Iterator[CaptionBlock]:
    """All captions, longest first, in blocks of at most `words` words with padding (one caption at least).

    Any item that is computed per caption length may stand in for a caption: an (image, caption) pair, for example.
    """
    lengths = lengths.cpu()
    order = torch.argsort(lengths, descending=True, stable=True)
    ordered = lengths[order].tolist()
    start = 0
    while start < len(ordered):
        longest = max(int(ordered[start]), 1)
        stop = start + max(1, words // longest)
        yield CaptionBlock(order[start:stop], longest)
        start = stop


def rows_within(memory_budget: int, bytes_per_row: int, device: torch.device) -> int:
    """Image-word pairs (rows) that a block may hold; on the CPU never more than its caches are good for."""
    rows = max(1, memory_budget // bytes_per_row)
    return min(rows, CACHED_ROWS * torch.get_num_threads()) if device.type == "cpu" else rows
