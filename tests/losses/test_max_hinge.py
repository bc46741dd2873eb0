"""The max of hinges against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, sum_of_costs
from vse.losses import Gist, MaxHinge, Pairs, SumHinge


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    def cost(right: float, wrong: list[float]) -> float:
        return max((max(0.0, 0.2 + negative - right) for negative in wrong), default=0.0)

    assert_value(MaxHinge(same_image=rule), batch, sum_of_costs(*batch[:2], rule, cost))


def test_a_hinge_at_zero_has_no_gradient():
    scores = torch.tensor([[0.5, 0.25], [0.25, 0.5]], requires_grad=True)
    ids = torch.arange(2)
    (gradient,) = torch.autograd.grad(MaxHinge(0.25)(scores, Pairs(ids, ids)), scores)
    assert (gradient == 0).all()


def test_sum_form_keeps_margin_rule_and_filter():
    summed = MaxHinge(0.3, same_image="ignore", false_negatives=Gist(0.1)).sum_form()
    assert isinstance(summed, SumHinge)
    assert (summed.margin, summed.same_image, summed.false_negatives) == (0.3, "ignore", Gist(0.1))
