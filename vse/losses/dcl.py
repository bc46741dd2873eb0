"""DCL: InfoNCE without the positive in the denominator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vse.losses.objective import Pairs, Roles
from vse.losses.queries import log_sum_exp
from vse.losses.temperature import TemperatureObjective


@dataclass(eq=False, repr=False)
class DCL(TemperatureObjective):
    """Decoupled contrastive learning: log sum exp(negatives / t) - positive / t, mean over queries and directions.

    Yeh et al., "Decoupled contrastive learning", ECCV 2022 (arXiv 2110.06848). A query whose positive is far ahead
    still pulls, which InfoNCE's denominator prevents; the loss has no lower bound. A query without negatives costs
    nothing.

    Args:
        temperature: where the temperature starts; its logarithm is learned with the network.
    """

    def costs(self, logits: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return log sum exp of the negatives less the positive."""
        right = roles.positives.to(logits.dtype)
        negatives, none = log_sum_exp(logits, roles.negatives)
        return (negatives - (logits * right).sum(dim=1) / right.sum(dim=1)).masked_fill(none, 0.0)
