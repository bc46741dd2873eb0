"""Cross-attention between regions and words, for blocks of n images x m captions (Lee et al., SCAN, ECCV 2018).

The inner products of a block are [n, m, T, R], in whatever memory order is cheapest. Words are [m, T, E], where every
image meets every caption, or [n, m, T, E], where each image meets its own captions (pairs: m = 1). Padded words must be
exactly 0: a caption then has the same results in any block as it has alone. So must padded regions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from vse.nn.encoders import NORM_EPSILON
from vse.nn.transfer import send

SLOPE = 0.1  # negative slope of the LeakyReLU on inner products

CACHED_ROWS = 2048  # image-word pairs per CPU thread whose features, 8 MB at E = 1024, its third-level cache holds

SMALLEST_BUDGET = 2**28
"""Default bytes that the temporaries of a block may take on the CPU, and at least on a GPU."""

SHARE = 8
"""Part of a GPU's free memory that the temporaries of a block may take by default: an eighth."""

ALIKE = 2 / 3
"""Length that no caption of a large block falls below, as a share of its longest: little padding, few blocks."""


def inner_products(regions: Tensor, words: Tensor) -> Tensor:
    """Multiply regions [n, R, E] with words [m, T, E] or [n, m, T, E] -> inner products [n, m, T, R]."""
    images, count, _ = regions.shape
    captions, length, _ = words.shape[-3:]
    if words.ndim == 3:
        products = words.flatten(0, 1) @ regions.flatten(0, 1).T
        return products.view(captions, length, images, count).permute(2, 0, 1, 3)
    return (words.flatten(1, 2) @ regions.mT).view(images, captions, length, count)


def attention_over_regions(products: Tensor, temperature: float, padding: Tensor | None = None) -> Tensor:
    """Weigh the regions for each word: inner products [n, m, T, R] -> weights [n, m, T, R] that sum to 1 over R.

    The rectified products are L2-normalised over the words of the caption before the softmax (SCAN, text to image).

    Args:
        temperature: factor of the logits.
        padding: bool that broadcasts to [n, m, T, R], True where an image has no region, which gets weight 0.
    """
    logits = temperature * _normalised(leaky_relu(products, SLOPE), dim=-2)
    if padding is not None:
        logits = logits.masked_fill(padding, -torch.inf)
    return torch.softmax(logits, dim=-1)


def attention_over_words(products: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Weigh the words for each region: inner products [n, m, T, R] -> weights [n, m, T, R] that sum to 1 over T.

    The rectified products are L2-normalised over the regions before the softmax (SCAN, image to text).

    Args:
        mask: [m, T] or [n, m, T] bool, True at words; padding gets weight 0.
        temperature: factor of the logits.
    """
    attended = _normalised(leaky_relu(products, SLOPE), dim=-1)
    return torch.softmax((temperature * attended).masked_fill(~mask[..., None], -torch.inf), dim=-2)


def _normalised(products: Tensor, dim: int) -> Tensor:
    """`l2norm` with `NORM_EPSILON`, ten times as fast along such short dimensions; zero vectors get no gradient."""
    squared = products.square().sum(dim, keepdim=True)
    norm = squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
    return products * torch.where(squared > 0, 1 / (norm + NORM_EPSILON), 0)


def word_mask(lengths: Tensor, length: int, device: torch.device) -> Tensor:
    """Mark the words of captions: lengths [...] -> bool [..., length] on `device`, True at words."""
    return torch.arange(length, device=device) < send(lengths, device)[..., None]


class CaptionBlock(NamedTuple):
    """Captions of similar length that are scored together."""

    rows: Tensor  # [m] int64, on the host
    length: int  # words of the longest


def caption_blocks(lengths: Tensor, words: int, shortest: float = 0.0) -> Iterator[CaptionBlock]:
    """Cut captions, longest first, into blocks of at most `words` words with padding, and at least one caption.

    Args:
        lengths: [M] words per caption; or per item of any kind whose cost grows with a caption's length, such as pairs.
        words: size of a block.
        shortest: length that no caption of a block falls below, as a share of its longest one.
    """
    lengths = lengths.cpu()
    order = torch.argsort(lengths, descending=True, stable=True)
    ordered = lengths[order].tolist()
    start = 0
    while start < len(ordered):
        longest = max(int(ordered[start]), 1)
        stop = min(start + max(1, words // longest), len(ordered))
        while ordered[stop - 1] < shortest * ordered[start]:
            stop -= 1
        yield CaptionBlock(order[start:stop], longest)
        start = stop


def rows_within(memory_budget: int, bytes_per_row: int, device: torch.device) -> int:
    """Return how many image-word pairs (rows) a block may hold; on the CPU, at most as many as its caches serve."""
    rows = max(1, memory_budget // bytes_per_row)
    return min(rows, CACHED_ROWS * torch.get_num_threads()) if device.type == "cpu" else rows


def shortest_within(device: torch.device) -> float:
    """Return `shortest` for `caption_blocks` on a device; on the CPU blocks are small, and their captions alike."""
    return 0.0 if device.type == "cpu" else ALIKE


@cache
def default_budget(device: torch.device) -> int:
    """Return the bytes that the temporaries of a block may take by default.

    On a GPU the free memory is read once, at the first block, and the result is a power of two: a resumed run, which
    finds a little more or less of it, cuts the same blocks and computes the same bits.
    """
    if device.type != "cuda":
        return SMALLEST_BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    return max(SMALLEST_BUDGET, 1 << (free // SHARE).bit_length() - 1)
