"""LUWM: polynomials of the positive and of the hardest negative (universal weighting, PolyLoss)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vse.losses.objective import Objective, Pairs, Roles
from vse.losses.queries import QueryObjective, per_positive
from vse.losses.sum_hinge import SumHinge

Coefficients = tuple[float, float, float]

NEARLY_ONE = 1 - 1e-5
"""A positive that scores this much is left alone."""


@dataclass(eq=False, repr=False)
class LUWM(QueryObjective):
    """Universal weighting metric learning: mean over the batch of max(0, P(positive)) + max(0, N(hardest negative)).

    Wei et al., "Universal weighting metric learning for cross-modal matching", CVPR 2020. A query counts only while
    its hardest negative is within `margin` of its positive; the margin has no other effect. The published
    coefficients are Flickr30K's. N falls below its root at 0.096, so an active negative that scores less is pulled up
    to there, as published. A perfect positive, at which the original code stops, is skipped.

    Args:
        margin: mining margin.
        positive_coefficients: a0, a1, a2 of P(s) = a0 + a1 s + a2 s^2.
        negative_coefficients: b0, b1, b2 of N(s).
    """

    margin: float = 0.2
    positive_coefficients: Coefficients = (0.5, -0.7, 0.2)
    negative_coefficients: Coefficients = (0.03, -0.4, 0.9)

    needs_bounded_scores = True
    sparse_gradient = True
    max_violation = True
    averaged = True

    def sum_form(self) -> Objective:
        """Return the sum of hinges with the mining margin."""
        return SumHinge(self.margin, same_image=self.same_image, false_negatives=self.false_negatives)

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the polynomials of positive and hardest negative."""
        negatives = scores.masked_fill(~roles.negatives, -torch.inf)
        return per_positive(scores, negatives, roles, self._cost)

    def _cost(self, positives: Tensor, negatives: Tensor) -> Tensor:
        hardest = negatives.max(dim=1).values
        active = (hardest + self.margin > positives) & (positives < NEARLY_ONE)
        cost = _polynomial(positives, self.positive_coefficients) + _polynomial(hardest, self.negative_coefficients)
        return cost.masked_fill(~active, 0.0)


def _polynomial(x: Tensor, coefficients: Coefficients) -> Tensor:
    constant, linear, square = coefficients
    return (square * x**2 + linear * x + constant).relu()
