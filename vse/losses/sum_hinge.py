"""Sum of hinges over all negatives (VSE0, LSH)."""

from __future__ import annotations

from torch import Tensor

from vse.losses.hinge import hinges, uniform_margins
from vse.losses.objective import Objective, Pairs


class SumHinge(Objective):
    """Every negative that comes within `margin` of the positive costs what it lacks, summed over the batch.

    Kiros et al., "Unifying visual-semantic embeddings", 2014; VSE0 of Faghri et al., "VSE++", BMVC 2018, eq. 5.
    Other captions of the same image are negatives like any other.
    """

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return hinges(scores, uniform_margins(scores, self.margin), hardest=False)
