"""LUWM against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, sum_of_costs
from vse.losses import LUWM, Pairs


def plain_cost(positive: float, negatives: list[float]) -> float:
    if positive >= 1 - 1e-5 or not any(negative + 0.2 > positive for negative in negatives):
        return 0.0
    hardest = max(negatives)
    cost = max(0.0, 0.2 * positive**2 - 0.7 * positive + 0.5)
    return cost + max(0.0, 0.9 * hardest**2 - 0.4 * hardest + 0.03)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    expected = sum_of_costs(*batch[:2], rule, plain_cost) / len(batch[0])
    assert_value(LUWM(same_image=rule), batch, expected)


def test_it_skips_the_perfect_pair_that_stops_the_original_code():
    scores = torch.tensor([[1.0, 0.9], [0.5, 0.4]], requires_grad=True)
    ids = torch.arange(2)
    LUWM()(scores, Pairs(ids, ids)).backward()
    assert scores.grad[0, 0] == 0
    assert scores.grad[1, 1] != 0


def test_it_takes_other_coefficients():
    scores = torch.tensor([[0.5, 0.6], [0.6, 0.5]])
    ids = torch.arange(2)
    objective = LUWM(positive_coefficients=(1.0, 0.0, 0.0), negative_coefficients=(0.0, 1.0, 0.0))
    assert objective(scores, Pairs(ids, ids)).item() == pytest.approx(2 * 1.6)
