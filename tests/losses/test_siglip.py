"""SigLIP against its definition and open_clip's formula."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, queries, random_pairs
from vse.errors import InputError
from vse.losses import SigLIP


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    total = 0.0
    for _, row, positives, negatives in queries(*batch[:2], rule):
        total += sum(math.log(1 + math.exp(-(10 * row[right] - 10))) for right in positives)
        total += sum(math.log(1 + math.exp(10 * row[wrong] - 10)) for wrong in negatives)
    assert_value(SigLIP(same_image=rule), batch, total / (2 * len(batch[0])))


def test_it_is_open_clips_loss_of_one_process():
    scores, pairs = random_pairs(9, seed=1)
    pairs.image_ids = torch.arange(9)
    labels = 2 * torch.eye(9, dtype=torch.float64) - 1
    expected = -torch.nn.functional.logsigmoid(labels * (scores * 10 - 10)).sum() / 9
    torch.testing.assert_close(SigLIP().double()(scores, pairs), expected)


def test_scale_and_bias_are_learned():
    scores, pairs = random_pairs(5, seed=2)
    objective = SigLIP().double()

    def loss(log_scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(objective, {"log_scale": log_scale, "bias": bias}, (scores, pairs))

    start = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (2.0, -3.0)]
    assert torch.autograd.gradcheck(loss, start)
    assert objective.log_scale.exp().item() == pytest.approx(10)
    assert objective.bias.item() == -10


def test_scale_must_be_positive():
    with pytest.raises(InputError, match=r"^logit_scale 0.0"):
        SigLIP(logit_scale=0.0)
