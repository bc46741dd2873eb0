"""Soft-margin triplet: the hinge's smooth relative, which never stops pulling."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs


class SoftMargin(Objective):
    """Each query pays log(1 + exp(sharpness * (negative - positive))) / sharpness, summed over the batch.

    Hermans, Beyer & Leibe, "In defense of the triplet loss for person re-identification", 2017, with sharpness 1 on
    unbounded distances; Hu et al., "CVM-Net", CVPR 2018, with sharpness 10 on normalised embeddings. Neither divides
    by the sharpness; dividing keeps the gradient at most 1 per negative, so that the hinges' learning rates serve.

    Args:
        sharpness: the larger, the more like a hinge with margin 0.
        max_violation: each query's hardest negative instead of the sum over all.
    """

    def __init__(self, sharpness: float = 10.0, max_violation: bool = False) -> None:
        super().__init__()
        if sharpness <= 0:
            raise InputError(f"--sharpness {sharpness}: expected a number above 0, such as 10")
        self.sharpness = sharpness
        self.max_violation = self.sparse_gradient = max_violation

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        positives = scores.diagonal()
        own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        negatives = scores.masked_fill(own, -torch.inf)
        if self.max_violation:
            image_to_text = negatives.max(dim=1).values - positives
            text_to_image = negatives.max(dim=0).values - positives
        else:
            image_to_text = negatives - positives[:, None]
            text_to_image = negatives - positives[None, :]
        return self._softened(image_to_text).sum(), self._softened(text_to_image).sum()

    def _softened(self, lead: Tensor) -> Tensor:
        return torch.nn.functional.softplus(lead, beta=self.sharpness, threshold=40)
