"""SigLIP: every pair is a binary classification."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.losses.objective import Pairs, Roles
from vse.losses.queries import QueryObjective


@dataclass(eq=False, repr=False)
class SigLIP(QueryObjective):
    """Sigmoid loss: -log sigmoid(z * (scale * score + bias)) of all pairs, z = 1 for positives and -1 for negatives.

    Zhai et al., "Sigmoid loss for language image pre-training", ICCV 2023 (arXiv 2303.15343). Summed over the pairs
    and divided by B; each direction holds half. Scale and bias are learned with the network, the scale by its
    logarithm.

    Args:
        logit_scale: where the scale starts.
        logit_bias: where the bias starts; far below 0, since nearly all pairs of a batch are negatives.

    Raises:
        InputError: `logit_scale` is not above 0.
    """

    logit_scale: float = 10.0
    logit_bias: float = -10.0

    needs_bounded_scores = True
    averaged = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.logit_scale < math.inf:
            raise InputError(f"logit_scale {self.logit_scale}: expected a number above 0, such as 10")
        self.log_scale = nn.Parameter(torch.tensor(math.log(self.logit_scale)))
        self.bias = nn.Parameter(torch.tensor(float(self.logit_bias)))

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the sum over the pairs of each query, halved."""
        logits = scores * self.log_scale.exp() + self.bias
        costs = -nn.functional.logsigmoid(torch.where(roles.positives, logits, -logits))
        return costs.masked_fill(~(roles.positives | roles.negatives), 0.0).sum(dim=1) / 2
