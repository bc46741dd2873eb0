"""SelHN: the hardest negative, or the mean over all where the gradient of the hardest would vanish."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs, Roles
from vse.losses.queries import QueryObjective, per_positive
from vse.losses.sum_hinge import SumHinge


@dataclass(eq=False, repr=False)
class SelHN(QueryObjective):
    """Selectively hard negative mining: a query pays for its hardest negative unless that scores like its positive.

    Li et al., "Selectively hard negative mining for alleviating gradient vanishing in image-text matching", arXiv
    2303.00181 (RVSE++). Where |positive - hardest negative| < epsilon, the gradients at the encoders nearly cancel,
    and the query pays the mean of its hinges instead. Summed over the batch as all hinges here; the original code
    takes the mean of the queries and of both directions.

    The gradient is sparse except at queries that average; in a cold start that is most of them.

    Args:
        margin: by how much the positive must outscore a negative.
        epsilon: distance of positive and hardest negative below which a query averages.

    Raises:
        InputError: `epsilon` is negative.
    """

    margin: float = 0.2
    epsilon: float = 0.01

    sparse_gradient = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epsilon >= 0:
            raise InputError(f"epsilon {self.epsilon}: expected a number of at least 0, such as 0.01")

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the hardest hinge, or the mean hinge."""
        return per_positive(scores, scores.masked_fill(~roles.negatives, -torch.inf), roles, self._cost)

    def _cost(self, positives: Tensor, negatives: Tensor) -> Tensor:
        hardest = negatives.max(dim=1).values
        hinges = (self.margin + negatives - positives[:, None]).relu()
        mean = hinges.sum(dim=1) / negatives.isfinite().sum(dim=1).clamp(min=1)
        hinge = (self.margin + hardest - positives).relu()
        return torch.where((positives - hardest).abs() < self.epsilon, mean, hinge)

    def sum_form(self) -> Objective:
        """Return the sum of hinges with the same margin."""
        return SumHinge(self.margin, same_image=self.same_image, false_negatives=self.false_negatives)
