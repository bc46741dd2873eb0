"""InfoNCE against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, log_sum, queries
from vse.losses import InfoNCE, Pairs


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    total = 0.0
    for _, row, positives, negatives in queries(*batch[:2], rule):
        logits = [score / 0.07 for score in row]
        denominator = log_sum([logits[other] for other in positives + negatives])
        total += sum(denominator - logits[right] for right in positives) / len(positives)
    assert_value(InfoNCE(same_image=rule), batch, total / (2 * len(batch[0])))


def test_captions_of_one_image_share_the_answer():
    scores = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]], requires_grad=True)
    rows = torch.arange(3)
    loss = InfoNCE()(scores, Pairs(torch.tensor([4, 4, 9]), rows))
    assert loss.item() == pytest.approx(2 / 3 * math.log(2), abs=1e-6)
    (content,) = torch.autograd.grad(loss, scores)
    assert content.abs().max() < 1e-5
    (pulled_apart,) = torch.autograd.grad(InfoNCE()(scores, Pairs(rows, rows)), scores)
    assert pulled_apart[0, 1] > 1
