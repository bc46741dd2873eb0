"""The soft margin against its definition, and its limit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, random_pairs, sum_of_costs
from vse.errors import InputError
from vse.losses import MaxHinge, SoftMargin


@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, hardest: bool, batch):
    def cost(right: float, wrong: list[float]) -> float:
        costs = [math.log(1 + math.exp(10 * (negative - right))) / 10 for negative in wrong]
        return max(costs, default=0.0) if hardest else sum(costs)

    objective = SoftMargin(max_violation=hardest, same_image=rule)
    assert_value(objective, batch, sum_of_costs(*batch[:2], rule, cost))


def test_it_nears_the_hinge_as_it_sharpens():
    scores, pairs = random_pairs(6, seed=6)
    sharp = SoftMargin(sharpness=2000.0, max_violation=True)(scores, pairs)
    assert sharp.item() == pytest.approx(MaxHinge(0.0)(scores, pairs).item(), abs=0.01)


def test_sharpness_must_be_positive():
    with pytest.raises(InputError, match=r"^sharpness 0.0: expected"):
        SoftMargin(sharpness=0.0)
