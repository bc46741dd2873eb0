"""Costs of single queries: one direction of a batch at a time, each row a query and each column a candidate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vse.losses.objective import Objective, Pairs, Roles


class QueryObjective(Objective):
    """Base of the objectives that add up a cost of every query; text-to-image is image-to-text on the transpose."""

    def costs(self, scores: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return what each query of one direction costs.

        Args:
            scores: [B, B], rows queries, columns candidates.

        Returns:
            [B].
        """
        raise NotImplementedError

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the sums or means over the queries of both directions."""
        roles = self.roles(pairs)
        image_to_text, text_to_image = self.costs(scores, roles, pairs), self.costs(scores.T, roles, pairs)
        if self.averaged:
            return image_to_text.mean(), text_to_image.mean()
        return image_to_text.sum(), text_to_image.sum()


def per_positive(scores: Tensor, negatives: Tensor, roles: Roles, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the cost of each query, for objectives that compare one positive with the negatives.

    Where a query has several positives, each is the positive in turn and the query costs their mean. Finding them
    waits for the device once a step.

    Args:
        scores: [B, B], rows queries.
        negatives: [B, B], -inf where a candidate is no negative.
        cost: positives [Q] and their rows of negatives [Q, B] -> costs [Q].

    Returns:
        [B].
    """
    if roles.one_positive:
        return cost(scores.diagonal(), negatives)
    query, candidate = roles.positives.nonzero(as_tuple=True)
    costs = cost(scores[query, candidate], negatives[query]) / roles.positives.sum(dim=1)[query]
    return torch.zeros_like(scores[:, 0]).index_add(0, query, costs)


def log_sum_exp(exponents: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Return log sum exp of the entries of each row that count, and which rows have none (they get 0).

    Args:
        exponents: [B, B].
        where: bool [B, B], the entries that count.

    Returns:
        [B], without NaN in value or gradient, and bool [B].
    """
    none = ~where.any(dim=1)
    safe = exponents.masked_fill(~where, -torch.inf).masked_fill(none[:, None], 0.0)
    return torch.logsumexp(safe, dim=1).masked_fill(none, 0.0), none
