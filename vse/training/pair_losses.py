"""Measure how well the losses of training pairs separate mismatched pairs from matching ones."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from vse.data.noise import Noise


class PairLosses:
    """The latest loss of every training pair, kept on the device.

    Args:
        noise: which pairs do not match.
        device: of the training step.
    """

    def __init__(self, noise: Noise, device: torch.device) -> None:
        self.wrong = noise.wrong
        self.losses = torch.full((len(noise.wrong),), torch.nan, device=device)

    def add(self, scores: Tensor, image_ids: Tensor, caption_ids: Tensor) -> None:
        """Take in the scores [B, B] of a step and the ids [B] of its pairs; nothing waits for the device."""
        self.losses[caption_ids] = pair_losses(scores, image_ids).to(self.losses.dtype)

    def take_auc(self) -> tuple[float, int] | None:
        """Return the AUC of the losses and the number of pairs behind it, and forget the losses.

        The AUC is the probability that a mismatched pair has a larger loss than a matching pair has: 0.5 says that
        losses tell nothing. None: the pairs seen were all of one kind.
        """
        losses, self.losses = self.losses.cpu().numpy(), torch.full_like(self.losses, torch.nan)
        seen = np.isfinite(losses)
        wrong = self.wrong[seen]
        if wrong.all() or not wrong.any():
            return None
        return float(roc_auc_score(wrong, losses[seen])), int(seen.sum())


def pair_losses(scores: Tensor, image_ids: Tensor) -> Tensor:
    """Return by how much the hardest negatives of each pair are ahead of it: the mean over both directions, [B].

    This is the pair's loss of max of hinges without margin and clamp, for every objective alike. It is negative for a
    pair that is ahead itself, and NaN or infinite where a batch holds no negative. Pairs of one image are no negatives.

    Args:
        scores: [B, B], rows images.
        image_ids: [B].
    """
    negatives = scores.masked_fill(image_ids[:, None] == image_ids[None, :], -torch.inf)
    return (negatives.amax(dim=0) + negatives.amax(dim=1)) / 2 - scores.diagonal()
