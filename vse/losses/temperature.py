"""Objectives of scores that are divided by a learned temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.losses.objective import Pairs, Roles
from vse.losses.queries import QueryObjective

SMALLEST_TEMPERATURE = 0.01
"""As in CLIP, whose logits are never scaled by more than 100."""


@dataclass(eq=False, repr=False)
class TemperatureObjective(QueryObjective):
    """Base of the objectives of logits scores / temperature: a mean over the queries and over both directions.

    Args:
        temperature: where the temperature starts; its logarithm is learned with the network.
    """

    temperature: float = 0.07

    needs_bounded_scores = True
    averaged = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not SMALLEST_TEMPERATURE <= self.temperature < math.inf:
            raise InputError(f"temperature {self.temperature}: expected at least {SMALLEST_TEMPERATURE}, such as 0.07")
        self.log_temperature = nn.Parameter(torch.tensor(math.log(self.temperature)))

    def inverse_temperature(self) -> Tensor:
        """Return 1 / temperature, at most 100."""
        # Clamping the parameter, not its value in the graph: at the bound it still gets a gradient and can come back.
        with torch.no_grad():
            self.log_temperature.clamp_(min=math.log(SMALLEST_TEMPERATURE))
        return torch.exp(-self.log_temperature)

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return half the mean over the queries of both directions."""
        logits, roles = scores * self.inverse_temperature(), self.roles(pairs)
        return self.costs(logits, roles, pairs).mean() / 2, self.costs(logits.T, roles, pairs).mean() / 2


def cross_entropy(logits: Tensor, roles: Roles) -> Tensor:
    """Return minus the log probability of each query's positives among its candidates, averaged over them.

    Args:
        logits: [B, B], rows queries; a pair that is neither positive nor negative is no candidate.

    Returns:
        [B].
    """
    right = roles.positives.to(logits.dtype)
    candidates = logits.masked_fill(~(roles.positives | roles.negatives), -torch.inf)
    return torch.logsumexp(candidates, dim=1) - (logits * right).sum(dim=1) / right.sum(dim=1)
