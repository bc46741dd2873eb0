"""Max of hinges: the hardest negative only (VSE++, LMH)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vse.losses.hinge import hinges
from vse.losses.objective import Objective, Pairs
from vse.losses.sum_hinge import SumHinge


@dataclass(eq=False, repr=False)
class MaxHinge(Objective):
    """Make each query pay for its hardest negative in the batch alone.

    Faghri et al., "VSE++: Improving Visual-Semantic Embeddings with Hard Negatives", BMVC 2018, eq. 6. Other captions
    of the same image are negatives like any other, as published.

    Args:
        margin: amount by which the positive must outscore the negative.
    """

    margin: float = 0.2

    sparse_gradient = True
    max_violation = True

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the sums of the hardest hinges."""
        return hinges(scores, self.margin, self.roles(pairs), hardest=True)

    def sum_form(self) -> Objective:
        """Return the sum of hinges with the same margin."""
        return SumHinge(**self.constants())
