"""SelHN against its definition, and when it averages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, random_pairs, sum_of_costs
from vse.errors import InputError
from vse.losses import MaxHinge, Pairs, SelHN, SumHinge


def cost(right: float, wrong: list[float]) -> float:
    hinges = [max(0.0, 0.2 + negative - right) for negative in wrong]
    if not wrong:
        return 0.0
    return sum(hinges) / len(hinges) if abs(right - max(wrong)) < 0.01 else max(hinges)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    assert_value(SelHN(same_image=rule), batch, sum_of_costs(*batch[:2], rule, cost))


def test_it_averages_on_the_plateau_of_a_cold_start():
    scores, ids = torch.full((6, 6), 0.4, requires_grad=True), torch.arange(6)
    SelHN()(scores, Pairs(ids, ids)).backward()
    assert (scores.grad[~torch.eye(6, dtype=torch.bool)] > 0).all()


def test_without_epsilon_it_is_the_max_of_hinges():
    scores, pairs = random_pairs(6, seed=1)
    assert SelHN(epsilon=0.0)(scores, pairs) == MaxHinge()(scores, pairs)


def test_sum_form_is_the_sum_of_hinges():
    assert type(SelHN(0.3).sum_form()) is SumHinge
    assert SelHN(0.3).sum_form().margin == 0.3


def test_negative_epsilon_is_refused():
    with pytest.raises(InputError, match=r"^epsilon -1"):
        SelHN(epsilon=-1.0)
