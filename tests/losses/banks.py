"""Embeddings, a filled memory bank and a batch, for tests of what reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.losses import MemoryBank, Pairs
from vse.nn.encoders import l2norm


def embeddings(count: int, seed: int, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return l2norm(torch.randn(count, size, generator=generator, dtype=torch.float64))


def filled(exclude: str = "captions", rows: int = 30) -> MemoryBank:
    bank = MemoryBank(exclude=exclude)
    caption_ids = torch.arange(rows) * 3
    bank.remember(embeddings(rows, 1), embeddings(rows, 2), caption_ids // 5, caption_ids)
    return bank


def batch(size: int, seed: int = 3) -> tuple[Tensor, Tensor, Pairs]:
    caption_ids = torch.arange(size) * 6 + 1  # 1 and 7 are not in the bank, but 13 // 5 is an image of it
    caption_ids[0] = 3
    return embeddings(size, seed), embeddings(size, seed + 1), Pairs(caption_ids // 5, caption_ids)
