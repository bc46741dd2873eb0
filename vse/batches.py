"""Batches: what a network sees of a data set, and the samplers and loaders that make them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Batch:
    """B matching (image, caption) pairs, sorted by caption length, longest first; row i of every field is pair i.

    In evaluation a batch may hold only images or only captions; the fields of the other side are then None.
    """

    images: Tensor | None  # [B, R, D] regions, [B, D] global features or [B, 3, H, W] pixels; float32
    captions: Tensor | None  # [B, T] token ids with <start> and <end>, int64, padded with 0
    lengths: Tensor | None  # [B] tokens per caption, int64, on the CPU
    image_ids: Tensor  # [B] image of each row, int64
    caption_ids: Tensor  # [B] caption of each row (line of the caption file), int64
    descriptions: Tensor | None = None  # [B, K] semantic description vectors of the captions, float32
