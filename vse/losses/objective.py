"""What an objective is: scores of a batch and what is known of its pairs -> a scalar to minimise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from vse.losses.memory_bank import MemoryBank


@dataclass
class BankScores:
    """Scores of a batch against the memory bank of M remembered pairs, float32, no gradient.

    Rows that must not count (the batch's own captions) are -inf.
    """

    images: Tensor  # [B, M] batch image i against remembered caption
    captions: Tensor  # [B, M] batch caption j against remembered image


@dataclass
class Pairs:
    """What objectives may ask of the B pairs behind scores [B, B]; row i and column i are a pair."""

    image_ids: Tensor  # [B] int64; equal ids: the same image
    caption_ids: Tensor  # [B] int64
    descriptions: Tensor | None = None  # [B, K] float32 semantic description vectors
    bank: BankScores | None = None


class Objective(nn.Module):
    """Base of the objectives. Scores are float32 [B, B], rows images, columns captions; any B >= 1."""

    needs_descriptions: bool = False
    """Reads `Pairs.descriptions`."""
    needs_bounded_scores: bool = False
    """Defined for cosine-like scores in [-1, 1] only."""
    sparse_gradient: bool = False
    """At most 3 B of the B x B scores get a gradient (hardest negatives only)."""
    bank: MemoryBank | None
    """Embeddings the objective wants remembered; whoever trains fills it and scores batches against it."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = None

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """The two scalars that add up to the loss: image-to-text (rows) and text-to-image (columns)."""
        raise NotImplementedError

    def forward(self, scores: Tensor, pairs: Pairs) -> Tensor:
        image_to_text, text_to_image = self.directions(scores, pairs)
        return image_to_text + text_to_image

    def diagnose(self, scores: Tensor) -> str | None:
        """What is wrong with a run whose batches score like this, and its remedy, in one sentence; None: nothing.

        The same trouble always gives the same sentence. Waits for the device: not for every step.
        """
        return None
