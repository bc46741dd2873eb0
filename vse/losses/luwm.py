"""LUWM: polynomials of the positive and of the hardest negative (universal weighting, PolyLoss)."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.losses.objective import Objective, Pairs

Coefficients = tuple[float, float, float]

NEARLY_ONE = 1 - 1e-5
"""A positive that scores this much is left alone."""


class LUWM(Objective):
    """Universal weighting metric learning: mean over the batch of max(0, P(positive)) + max(0, N(hardest negative)).

    Wei et al., "Universal weighting metric learning for cross-modal matching", CVPR 2020. A query counts only while
    its hardest negative comes within `margin` of its positive; the margin decides nothing else. The published
    coefficients are Flickr30K's. N falls below its root at 0.096, so an active negative that scores less is pulled up
    to there, as published. A perfect positive, at which the published code stops, is skipped.

    Args:
        margin: mining margin.
        positive_coefficients: a0, a1, a2 of P(s) = a0 + a1 s + a2 s^2.
        negative_coefficients: b0, b1, b2 of N(s).
    """

    needs_bounded_scores = True
    sparse_gradient = True

    def __init__(
        self,
        margin: float = 0.2,
        positive_coefficients: Coefficients = (0.5, -0.7, 0.2),
        negative_coefficients: Coefficients = (0.03, -0.4, 0.9),
    ) -> None:
        super().__init__()
        self.margin = margin
        self.positive_coefficients = positive_coefficients
        self.negative_coefficients = negative_coefficients

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        negatives = scores.masked_fill(own, -torch.inf)
        return self._mean(scores, negatives.max(dim=1).values), self._mean(scores, negatives.max(dim=0).values)

    def _mean(self, scores: Tensor, negatives: Tensor) -> Tensor:
        """One direction: [B, B] and the hardest negative of each query [B] -> scalar."""
        positives = scores.diagonal()
        active = (negatives + self.margin > positives) & (positives < NEARLY_ONE)
        cost = _polynomial(positives, self.positive_coefficients) + _polynomial(negatives, self.negative_coefficients)
        return cost.masked_fill(~active, 0.0).mean()


def _polynomial(x: Tensor, coefficients: Coefficients) -> Tensor:
    constant, linear, square = coefficients
    return (square * x**2 + linear * x + constant).clamp(min=0)
