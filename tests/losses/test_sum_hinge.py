"""The sum of hinges against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, sum_of_costs
from vse.losses import Pairs, SumHinge


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    def cost(right: float, wrong: list[float]) -> float:
        return sum(max(0.0, 0.2 + negative - right) for negative in wrong)

    assert_value(SumHinge(same_image=rule), batch, sum_of_costs(*batch[:2], rule, cost))


def test_a_hinge_at_zero_has_no_gradient():
    scores = torch.tensor([[0.5, 0.25], [0.25, 0.5]], requires_grad=True)
    ids = torch.arange(2)
    (gradient,) = torch.autograd.grad(SumHinge(0.25)(scores, Pairs(ids, ids)), scores)
    assert (gradient == 0).all()


def test_there_is_no_other_sum_to_begin_with():
    assert SumHinge().sum_form() is None
