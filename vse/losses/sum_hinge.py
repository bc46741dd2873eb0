"""Sum of hinges over all negatives (VSE0)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vse.losses.hinge import hinges
from vse.losses.objective import Objective, Pairs


@dataclass(eq=False, repr=False)
class SumHinge(Objective):
    """Sum the hinges of all negatives within `margin` of the positive over the batch.

    Kiros et al., "Unifying visual-semantic embeddings", 2014; VSE0 of Faghri et al., "VSE++", BMVC 2018, eq. 5.
    Other captions of the same image are negatives like any other.

    Args:
        margin: by how much the positive must outscore a negative.
    """

    margin: float = 0.2

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the sums of all hinges."""
        return hinges(scores, self.margin, self.roles(pairs), hardest=False)
