"""Soft-margin triplet: a smooth hinge, whose gradient never vanishes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs, Roles
from vse.losses.queries import QueryObjective, per_positive


@dataclass(eq=False, repr=False)
class SoftMargin(QueryObjective):
    """Make each query pay log(1 + exp(sharpness * (negative - positive))) / sharpness, summed over the batch.

    Hermans, Beyer & Leibe, "In defense of the triplet loss for person re-identification", 2017, with sharpness 1 on
    unbounded distances; Hu et al., "CVM-Net", CVPR 2018, with sharpness 10 on normalised embeddings. Neither divides
    by the sharpness; dividing keeps the gradient at most 1 per negative, so that the hinges' learning rates serve.

    Args:
        sharpness: the larger, the more like a hinge with margin 0.
        max_violation: each query's hardest negative instead of the sum over all.
    """

    sharpness: float = 10.0
    max_violation: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sparse_gradient = self.max_violation
        if self.sharpness <= 0:
            raise InputError(f"sharpness {self.sharpness}: expected a number above 0, such as 10")

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the softened hinge of the hardest negative, or their sum over all."""
        negatives = scores.masked_fill(~roles.negatives, -torch.inf)
        return per_positive(scores, negatives, roles, self._cost)

    def _cost(self, positives: Tensor, negatives: Tensor) -> Tensor:
        if self.max_violation:
            return self._softened(negatives.max(dim=1).values - positives)
        return self._softened(negatives - positives[:, None]).sum(dim=1)

    def _softened(self, lead: Tensor) -> Tensor:
        return torch.nn.functional.softplus(lead, beta=self.sharpness, threshold=40)

    def sum_form(self) -> Objective | None:
        """Return the soft margin without `max_violation`; None if it already is."""
        return replace(self, max_violation=False) if self.max_violation else None
