"""Costs of single queries."""

from __future__ import annotations

import pytest
import torch

from vse.losses import MaxHinge, Pairs
from vse.losses.queries import log_sum_exp, per_positive


def test_positives_take_turns_and_the_mean_counts():
    scores = torch.tensor([[0.5, 0.1, 0.4], [0.2, 0.3, 0.0], [0.0, 0.0, 0.9]])
    roles = MaxHinge(same_image="positive").roles(Pairs(torch.tensor([7, 7, 8]), torch.arange(3)))
    negatives = scores.masked_fill(~roles.negatives, -torch.inf)
    costs = per_positive(scores, negatives, roles, lambda right, wrong: wrong.max(dim=1).values - right)
    assert costs.tolist() == pytest.approx([(0.4 - 0.5 + 0.4 - 0.1) / 2, (0.0 - 0.2 + 0.0 - 0.3) / 2, 0.0 - 0.9])


def test_log_sum_exp_of_no_entry_is_zero_without_gradient():
    exponents = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    values, none = log_sum_exp(exponents, torch.tensor([[True, True], [False, False]]))
    values.sum().backward()
    assert none.tolist() == [False, True]
    assert values[1] == 0
    torch.testing.assert_close(values[0], exponents[0].logsumexp(0))
    torch.testing.assert_close(exponents.grad[0], torch.softmax(exponents[0].detach(), 0))
    assert exponents.grad[1].tolist() == [0.0, 0.0]
