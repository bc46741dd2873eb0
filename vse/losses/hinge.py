"""The triplet hinge that the hinge objectives share; they differ in their margins and in which negatives count."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_margins(scores: Tensor, margin: float) -> Tensor:
    """One margin for every negative of scores [B, B], -inf on the diagonal: [B, B]."""
    return torch.full_like(scores, margin, requires_grad=False).fill_diagonal_(-torch.inf)


def hinges(scores: Tensor, margins: Tensor, hardest: bool) -> tuple[Tensor, Tensor]:
    """Sums over the batch of max(0, margin + negative - positive), image-to-text (rows) and text-to-image (columns).

    Sums, not means: published learning rates count on it. Of tied hardest negatives the first gets the gradient
    (`max`; `amax` would share it out), and a hinge at exactly 0 has none.

    Args:
        scores: [B, B].
        margins: [B, B] without gradient; -inf where a pair is no negative.
        hardest: only each query's largest violation counts, as in VSE++, instead of all of them.
    """
    positives = scores.diagonal()
    violations = scores + margins
    if hardest:
        image_to_text = violations.max(dim=1).values - positives
        text_to_image = violations.max(dim=0).values - positives
    else:
        image_to_text = violations - positives[:, None]
        text_to_image = violations - positives[None, :]
    return image_to_text.clamp(min=0).sum(), text_to_image.clamp(min=0).sum()
