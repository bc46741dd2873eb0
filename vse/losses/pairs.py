"""Information on the pairs behind a batch of scores."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class BankScores:
    """Scores of a batch against a memory bank of M remembered pairs, float32, without gradient.

    A row that must not count, such as the batch's own captions, is -inf.
    """

    images: Tensor  # [B, M] image i of the batch with each remembered caption
    captions: Tensor  # [B, M] caption j of the batch with each remembered image


@dataclass
class Pairs:
    """Information on the B pairs behind scores [B, B]; row i and column i are a pair."""

    image_ids: Tensor  # [B] int64; equal ids mean the same image
    caption_ids: Tensor  # [B] int64, rows of the training captions
    descriptions: Tensor | None = None  # [B, K] float32, description vectors of the captions
    bank: BankScores | None = None
    images: Tensor | None = None  # [B, D] embeddings, with gradient, of networks that have one per item
    captions: Tensor | None = None  # [B, D]
