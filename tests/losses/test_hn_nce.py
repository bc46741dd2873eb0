"""HN-NCE against its definition, and without hardness."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, queries, random_pairs, softmax
from vse.errors import InputError
from vse.losses import HNNCE, InfoNCE


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    total = 0.0
    for _, row, positives, negatives in queries(*batch[:2], rule):
        logits = [score / 0.07 for score in row]
        weights = softmax([0.5 * logits[wrong] for wrong in negatives]) if negatives else []
        denominator = sum(math.exp(logits[right]) for right in positives)
        for weight, wrong in zip(weights, negatives, strict=True):
            denominator += len(negatives) * weight * math.exp(logits[wrong])
        total += sum(math.log(denominator) - logits[right] for right in positives) / len(positives)
    assert_value(HNNCE(hardness=0.5, same_image=rule), batch, total / (2 * len(batch[0])))


@pytest.mark.parametrize("rule", RULES)
def test_without_hardness_it_is_infonce(rule: str):
    scores, pairs = random_pairs(7, seed=1)
    found = HNNCE(hardness=0.0, same_image=rule).double()(scores, pairs)
    torch.testing.assert_close(found, InfoNCE(same_image=rule).double()(scores, pairs))


def test_negative_hardness_is_refused():
    with pytest.raises(InputError, match=r"^hardness -1"):
        HNNCE(hardness=-1.0)
