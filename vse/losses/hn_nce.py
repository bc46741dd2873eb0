"""HN-NCE: InfoNCE with larger weights on harder negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Pairs, Roles
from vse.losses.queries import log_sum_exp
from vse.losses.temperature import TemperatureObjective


@dataclass(eq=False, repr=False)
class HNNCE(TemperatureObjective):
    """Hard-negative noise contrastive estimation: InfoNCE with a weight on every negative of the denominator.

    Radenovic et al., "Filtering, distillation, and hard negatives for vision-language pre-training", CVPR 2023 (arXiv
    2301.02280), with alpha = 1. The weights of a query's n negatives are n * softmax(hardness * logits), 1 on average;
    gradients flow through them. With hardness 0 it is InfoNCE.

    Args:
        temperature: where the temperature starts; its logarithm is learned with the network.
        hardness: how much harder negatives weigh more (beta); 0.25 to 1 in the paper.

    Raises:
        InputError: `hardness` is negative.
    """

    hardness: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hardness >= 0:
            raise InputError(f"hardness {self.hardness}: expected a number of at least 0, such as 0.25")

    def costs(self, logits: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the cross-entropy with weighted negatives."""
        concentration, _ = log_sum_exp(self.hardness * logits, roles.negatives)
        count = roles.negatives.sum(dim=1).clamp(min=1).to(logits.dtype)
        log_weights = count.log()[:, None] + self.hardness * logits - concentration[:, None]
        weighted = torch.where(roles.positives, logits, logits + log_weights)
        denominator = weighted.masked_fill(~(roles.positives | roles.negatives), -torch.inf).logsumexp(dim=1)
        right = roles.positives.to(logits.dtype)
        return denominator - (logits * right).sum(dim=1) / right.sum(dim=1)
