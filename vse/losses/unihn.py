"""UniHN: an objective between the hardest negative and InfoNCE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs, Roles
from vse.losses.queries import QueryObjective, per_positive
from vse.losses.sum_hinge import SumHinge


@dataclass(eq=False, repr=False)
class UniHN(QueryObjective):
    """Unified loss: log(1 + sum of exp(sharpness * (margin + negative - positive))) / sharpness, summed over queries.

    Li et al., "Unified loss of pair similarity optimization for vision-language retrieval", arXiv 2209.13869. It
    becomes the max of hinges as the sharpness grows; with margin 0 it is InfoNCE at temperature 1 / sharpness, times
    that temperature.

    Args:
        margin: by how much the positive must outscore a negative.
        sharpness: the larger, the more the hardest negative counts (gamma).

    Raises:
        InputError: `sharpness` is not above 0.
    """

    margin: float = 0.2
    sharpness: float = 50.0

    needs_bounded_scores = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sharpness > 0:
            raise InputError(f"sharpness {self.sharpness}: expected a number above 0, such as 50")

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the softplus of all negatives."""
        return per_positive(scores, scores.masked_fill(~roles.negatives, -torch.inf), roles, self._cost)

    def _cost(self, positives: Tensor, negatives: Tensor) -> Tensor:
        exponents = self.sharpness * (self.margin + negatives - positives[:, None])
        return torch.nn.functional.pad(exponents, (1, 0)).logsumexp(dim=1) / self.sharpness

    def sum_form(self) -> Objective:
        """Return the sum of hinges with the same margin."""
        return SumHinge(self.margin, same_image=self.same_image, false_negatives=self.false_negatives)
