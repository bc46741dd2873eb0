"""Max of hinges: the hardest negative only (VSE++, LMH)."""

from __future__ import annotations

from torch import Tensor

from vse.losses.hinge import hinges, uniform_margins
from vse.losses.objective import Objective, Pairs


class MaxHinge(Objective):
    """Each query pays for its hardest negative in the batch alone.

    Faghri et al., "VSE++: Improving Visual-Semantic Embeddings with Hard Negatives", BMVC 2018, eq. 6. Other captions
    of the same image are negatives like any other, as published.
    """

    sparse_gradient = True

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return hinges(scores, uniform_margins(scores, self.margin), hardest=True)
