"""CRCL: learn from a pair in proportion to the network's belief in it, and from wrong answers always."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.memory import CaptionMemory
from vse.losses.objective import Objective, Pairs, Roles


@dataclass(eq=False, repr=False)
class CRCL(Objective):
    """Cross-modal robust complementary learning, for training data in which some pairs do not belong together.

    Qin et al., "Cross-modal active complementary learning with self-refining correspondence", NeurIPS 2023. With
    p[i, j] = softmax over j of score / temperature and y[i] in [0, 1] the belief that pair i is right, a query costs

        y * -log p[i, i]  +  complementary_weight * sum over j != i of tan p[i, j] / (sum over j of tan p[i, j])^(1 - y)

    and the loss is the sum over both directions of the mean over the queries. A caption's belief starts at 1 and stays
    there for `belief_epochs` epochs; then it is momentum * belief + (1 - momentum) * p, with p the mean of p[i, i] of
    both directions, and 0 below 0.1. In the last epoch at 1 the p of each pair is remembered as its belief to begin
    with. Beliefs are saved with the checkpoint.

    The original code trains the network anew several times and carries the beliefs over; here training runs once.
    Beliefs are kept per caption, so that each needs to be trained on once an epoch.

    Args:
        temperature: of the scores; it is not learned.
        momentum: share of the old belief in the new one.
        belief_epochs: epochs in which every pair is believed.
        complementary_weight: weight of the second term; 5 in the original code.

    Raises:
        InputError: a constant is out of range.
    """

    temperature: float = 0.05
    momentum: float = 0.8
    belief_epochs: int = 2
    complementary_weight: float = 5.0

    needs_bounded_scores = True
    averaged = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise InputError(f"temperature {self.temperature}: expected a number above 0, such as 0.05")
        if not 0 <= self.momentum <= 1:
            raise InputError(f"momentum {self.momentum}: expected a share from 0 to 1, such as 0.8")
        if self.belief_epochs < 0:
            raise InputError(f"belief_epochs {self.belief_epochs}: expected a number of at least 0, such as 2")
        self.beliefs = CaptionMemory(1.0)
        self.epoch = 0

    def start(self, captions: int) -> None:
        """Make room for the beliefs in all training captions."""
        self.beliefs.resize(captions)

    def begin(self, epoch: int, position: int, steps_per_epoch: int) -> None:
        """Note the epoch, which decides whether beliefs move."""
        self.epoch = epoch

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return both directions, and move the beliefs in the pairs of the batch."""
        roles = self.roles(pairs)
        rows, columns = self._log_probabilities(scores, roles), self._log_probabilities(scores.T, roles)
        beliefs = self._believe((_right(rows, roles) + _right(columns, roles)).detach() / 2, pairs.caption_ids)
        return self._costs(rows, beliefs, roles).mean(), self._costs(columns, beliefs, roles).mean()

    def _log_probabilities(self, scores: Tensor, roles: Roles) -> Tensor:
        others = ~(roles.positives | roles.negatives)
        return torch.log_softmax((scores / self.temperature).masked_fill(others, -torch.inf), dim=1)

    @torch.no_grad()
    def _believe(self, probabilities: Tensor, caption_ids: Tensor) -> Tensor:
        """Return the beliefs in the pairs of this batch, [B], and remember what comes of them."""
        if not len(self.beliefs.values):
            self.beliefs.resize(int(caption_ids.max()) + 1)  # outside of training nobody said how many there are
        beliefs = self.beliefs[caption_ids].to(probabilities.dtype)
        if self.epoch >= self.belief_epochs:
            beliefs = self.momentum * beliefs + (1 - self.momentum) * probabilities
        beliefs = beliefs.masked_fill(beliefs < SMALLEST_BELIEF, 0.0)
        last_at_one = self.epoch == self.belief_epochs - 1
        self.beliefs[caption_ids] = probabilities if last_at_one else beliefs
        return beliefs

    def _costs(self, logs: Tensor, beliefs: Tensor, roles: Roles) -> Tensor:
        others = ~(roles.positives | roles.negatives)
        right = roles.positives.to(logs.dtype)
        attraction = -(logs.masked_fill(others, 0.0) * right).sum(dim=1) / right.sum(dim=1)
        tangents = logs.exp().tan()
        wrong = tangents.masked_fill(~roles.negatives, 0.0).sum(dim=1)
        return beliefs * attraction + self.complementary_weight * wrong / tangents.sum(dim=1) ** (1 - beliefs)


SMALLEST_BELIEF = 0.1
"""A belief below this is 0, as in the original code."""


def _right(logs: Tensor, roles: Roles) -> Tensor:
    """Probability of a right answer, [B]."""
    return logs.exp().masked_fill(~roles.positives, 0.0).sum(dim=1)
