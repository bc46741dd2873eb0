"""TAL: a hinge on the smooth maximum of the negatives."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs, Roles
from vse.losses.queries import QueryObjective, log_sum_exp
from vse.losses.sum_hinge import SumHinge
from vse.options import SameImage


@dataclass(eq=False, repr=False)
class TAL(QueryObjective):
    """Triplet alignment loss: [margin - positive + temperature * log sum exp(negatives / temperature)]+, summed.

    Qin et al., "Noisy-correspondence learning for text-to-image person re-identification", CVPR 2024 (RDE). It bounds
    the hinge of the hardest negative from above and becomes it as the temperature goes to 0. The positive is the mean
    of a query's positives by softmax weights, which carry no gradient in the original code either.

    Args:
        margin: by how much the positive must outscore the smooth maximum of the negatives.
        temperature: how smooth that maximum is; it is not learned.

    Raises:
        InputError: `temperature` is not above 0.
    """

    margin: float = 0.1
    temperature: float = 0.02
    same_image: SameImage = field(default="positive", kw_only=True)

    needs_bounded_scores = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise InputError(f"temperature {self.temperature}: expected a number above 0, such as 0.02")

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the hinge of the smooth maximum."""
        logits = scores.detach() / self.temperature
        weights = torch.softmax(logits.masked_fill(~roles.positives, -torch.inf), dim=1)
        positives = (weights * scores).sum(dim=1)
        hardest, none = log_sum_exp(scores / self.temperature, roles.negatives)
        return (self.margin - positives + self.temperature * hardest).relu().masked_fill(none, 0.0)

    def sum_form(self) -> Objective:
        """Return the sum of hinges with the same margin."""
        return SumHinge(self.margin, same_image=self.same_image, false_negatives=self.false_negatives)
