"""Soft labels against their definition."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, cosine, log_sum, queries, random_pairs, softmax
from vse.errors import InputError
from vse.losses import InfoNCE, SoftLabels


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    scores, images, vectors = batch
    total = 0.0
    for query, row, positives, negatives in queries(scores, images, rule):
        candidates = sorted(positives + negatives)
        logits = [row[other] / 0.07 for other in candidates]
        denominator = log_sum(logits)
        total += sum(denominator - row[right] / 0.07 for right in positives) / len(positives)
        if any(vectors[query]):
            teacher = softmax([cosine(vectors[query], vectors[other]) / 0.45 for other in candidates])
            for wanted, logit in zip(teacher, logits, strict=True):
                total += 0.1 * wanted * (math.log(wanted) - (logit - denominator))
    assert_value(SoftLabels(same_image=rule), batch, total / (2 * len(scores)))


def test_without_weight_it_is_infonce():
    scores, pairs = random_pairs(6, seed=1)
    found = SoftLabels(soft_weight=0.0).double()(scores, pairs)
    torch.testing.assert_close(found, InfoNCE().double()(scores, pairs))


def test_a_paraphrase_is_pushed_less_than_an_unrelated_caption():
    _, pairs = random_pairs(3, seed=1)
    pairs.image_ids = torch.arange(3)
    pairs.descriptions = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], dtype=torch.float64)
    leaf = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    SoftLabels(soft_weight=1.0).double()(leaf, pairs).backward()
    assert leaf.grad[0, 1] < leaf.grad[0, 2]


def test_temperature_of_the_teacher_must_be_positive():
    with pytest.raises(InputError, match=r"^soft_temperature 0.0"):
        SoftLabels(soft_temperature=0.0)
