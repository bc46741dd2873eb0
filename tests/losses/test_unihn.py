"""UniHN against its definition, and its two limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, random_pairs, sum_of_costs
from vse.errors import InputError
from vse.losses import InfoNCE, MaxHinge, SumHinge, UniHN


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    def cost(right: float, wrong: list[float]) -> float:
        return math.log(1 + sum(math.exp(50 * (0.2 + negative - right)) for negative in wrong)) / 50

    assert_value(UniHN(same_image=rule), batch, sum_of_costs(*batch[:2], rule, cost))


def test_it_becomes_the_max_of_hinges_as_the_sharpness_grows():
    scores, pairs = random_pairs(8, seed=2)
    hinge = MaxHinge(0.2)(scores, pairs).item()
    gaps = [UniHN(sharpness=g)(scores, pairs).item() - hinge for g in (5.0, 20.0, 80.0, 10000.0)]
    assert gaps[0] > gaps[1] > gaps[2] >= gaps[3] - 1e-12
    assert gaps[0] > 0.01
    assert gaps[-1] == pytest.approx(0, abs=16 * math.log(8) / 10000)


@pytest.mark.parametrize("sharpness", [5.0, 50.0])
def test_without_margin_it_is_infonce_at_the_inverse_temperature(sharpness: float):
    scores, pairs = random_pairs(7, seed=3)
    unified = UniHN(margin=0.0, sharpness=sharpness)(scores, pairs)
    infonce = InfoNCE(temperature=1 / sharpness, same_image="negative").double()(scores, pairs)
    assert unified.item() * sharpness == pytest.approx(2 * 7 * infonce.item(), rel=1e-6)


def test_sum_form_is_the_sum_of_hinges():
    assert type(UniHN(0.3).sum_form()) is SumHinge


def test_sharpness_must_be_positive():
    with pytest.raises(InputError, match=r"^sharpness 0.0"):
        UniHN(sharpness=0.0)
