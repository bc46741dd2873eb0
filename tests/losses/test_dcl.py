"""DCL against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, log_sum, queries
from vse.losses import DCL, InfoNCE, Pairs


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    total = 0.0
    for _, row, positives, negatives in queries(*batch[:2], rule):
        if negatives:
            positive = sum(row[right] / 0.07 for right in positives) / len(positives)
            total += log_sum([row[wrong] / 0.07 for wrong in negatives]) - positive
    assert_value(DCL(same_image=rule), batch, total / (2 * len(batch[0])))


def test_it_pulls_a_positive_that_infonce_lets_go():
    ids = torch.arange(3)
    pulls = []
    for objective in (DCL(), InfoNCE()):
        scores = (2 * torch.eye(3) - 1).requires_grad_()
        objective(scores, Pairs(ids, ids)).backward()
        pulls.append(-scores.grad[0, 0].item())
    assert pulls[0] > 1
    assert pulls[1] < 1e-6
