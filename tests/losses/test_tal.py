"""TAL against its definition, its limit, and its weights."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, log_sum, queries, random_pairs, softmax
from vse.errors import InputError
from vse.losses import TAL, MaxHinge, Pairs, SumHinge


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    total = 0.0
    for _, row, positives, negatives in queries(*batch[:2], rule):
        weights = softmax([row[right] / 0.02 for right in positives])
        positive = sum(weight * row[right] for weight, right in zip(weights, positives, strict=True))
        if negatives:
            total += max(0.0, 0.1 - positive + 0.02 * log_sum([row[wrong] / 0.02 for wrong in negatives]))
    assert_value(TAL(same_image=rule), batch, total)


def test_it_becomes_the_max_of_hinges_without_temperature():
    scores, pairs = random_pairs(8, seed=2)
    pairs.image_ids = torch.arange(8)
    hinge = MaxHinge(0.1)(scores, pairs).item()
    gaps = [TAL(temperature=t)(scores, pairs).item() - hinge for t in (0.1, 0.01, 0.001, 0.0001)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.01
    assert gaps[-1] == pytest.approx(0, abs=16 * 0.0001 * math.log(7))


def test_weights_of_several_positives_carry_no_gradient():
    scores, ids = torch.tensor([[0.3, 0.1, 0.2], [0.0, 0.2, 0.1], [0.1, 0.3, 0.4]], requires_grad=True), torch.arange(3)
    image_to_text, _ = TAL(1.0, 1.0).directions(scores, Pairs(torch.tensor([5, 5, 6]), ids))
    image_to_text.backward()
    weights = torch.softmax(scores[0, :2].detach(), dim=0)
    torch.testing.assert_close(scores.grad[0, :2], -weights)


def test_sum_form_is_the_sum_of_hinges():
    summed = TAL(0.3).sum_form()
    assert isinstance(summed, SumHinge)
    assert (summed.margin, summed.same_image) == (0.3, "positive")


def test_temperature_must_be_positive():
    with pytest.raises(InputError, match=r"^temperature 0.0"):
        TAL(temperature=0.0)
