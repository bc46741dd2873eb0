"""The embeddings of a drawn sample of training pairs, remembered for an epoch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.memory import Memory
from vse.losses.pairs import BankScores, Pairs


class MemoryBank(Memory):
    """Remembers M embedded pairs and scores batches against them by inner products.

    At the start of an epoch, training draws the captions to remember, encodes them in eval mode and stores their
    embeddings here, where they stay fixed (and grow stale) until the next fill. The state dict holds them, so a
    resumed run continues with the same bank. Liu et al., "HAL", AAAI 2020, section 3.3.

    Args:
        rate: fraction of the training captions to remember.
        exclude: which rows do not count for a batch: those of its `captions` (published), or of its `images`, so that
            the other captions of an image are not taken for negatives.
    """

    def __init__(self, rate: float = 0.05, exclude: Literal["captions", "images"] = "captions") -> None:
        super().__init__("images", "captions", "image_ids", "caption_ids")
        if not 0 < rate <= 1:
            raise InputError(f"mb_rate {rate}: expected a share above 0 and at most 1, such as 0.05")
        self.rate = rate
        self.exclude = exclude
        self.images = torch.empty(0, 0)  # [M, D] float32
        self.captions = torch.empty(0, 0)  # [M, D] float32
        self.image_ids = torch.empty(0, dtype=torch.int64)  # [M]
        self.caption_ids = torch.empty(0, dtype=torch.int64)  # [M]

    def __len__(self) -> int:
        return len(self.caption_ids)

    def draw(self, seed: int, epoch: int, n_captions: int) -> np.ndarray:
        """Rows of the training captions to remember in an epoch, int64, ascending; a function of the arguments alone.

        The original code keeps whole batches with probability `rate`, of all batches loaded; this draws as many
        captions without loading the others.
        """
        size = max(1, round(self.rate * n_captions))
        generator = np.random.default_rng([seed, epoch, n_captions])
        return np.sort(generator.choice(n_captions, size, replace=False, shuffle=False))

    def remember(self, images: Tensor, captions: Tensor, image_ids: Tensor, caption_ids: Tensor) -> None:
        """Replace what is remembered: embeddings [M, D] twice and the ids [M] of each row."""
        precision = torch.promote_types(images.dtype, torch.float32)  # under autocast embeddings are bfloat16
        self.images, self.captions = images.detach().to(precision), captions.detach().to(precision)
        self.image_ids, self.caption_ids = image_ids.to(images.device), caption_ids.to(images.device)

    @torch.no_grad()
    def scores(self, images: Tensor, captions: Tensor, pairs: Pairs) -> BankScores | None:
        """Scores of a batch's embeddings [B, D] against the bank; None while nothing is remembered."""
        if len(self) == 0:
            return None
        if self.exclude == "captions":
            excluded = torch.isin(self.caption_ids, pairs.caption_ids)
        else:
            excluded = torch.isin(self.image_ids, pairs.image_ids)
        return BankScores(
            (images @ self.captions.T).masked_fill_(excluded, -torch.inf),
            (captions @ self.images.T).masked_fill_(excluded, -torch.inf),
        )
