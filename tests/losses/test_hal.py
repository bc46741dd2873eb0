"""HAL against its definition: the batch alone, the memory bank, and what is repaired on request."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from tests.losses.banks import batch, embeddings, filled
from tests.losses.plain import RULES, assert_value, batches, queries
from vse.errors import InputError
from vse.losses import HAL, BankScores, MemoryBank, Pairs, SumHinge
from vse.nn.encoders import l2norm


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, batch):
    total = 0.0
    for _, row, positives, negatives in queries(*batch[:2], rule):
        leak = math.exp(-30 * 0.3)  # the diagonal, as published
        total += math.log(1 + leak + sum(math.exp(30 * (row[wrong] - 0.3)) for wrong in negatives)) / 30
        total -= sum(math.log(1 + max(0.0, row[right])) for right in positives) / len(positives) / 2
    assert_value(HAL(same_image=rule), batch, total / len(batch[0]))


@pytest.mark.parametrize(("constants", "message"), [({"local_alpha": 0.0}, "local_alpha"), ({"mb_k": 0}, "mb_k")])
def test_constants_out_of_range_are_refused(constants: dict, message: str):
    with pytest.raises(InputError, match=f"^{message} .*expected"):
        HAL(**constants)


def plain_global(
    scores: list[list[float]], bank: BankScores, k: int, repaired: bool
) -> tuple[list[list[float]], list[float], float]:
    """Weights of negatives, of positives and HAL's value (MS-COCO's constants) by their definitions."""
    size = len(scores)
    ti = [sorted(row, reverse=True)[:k] for row in bank.images.tolist()]
    tc = [sorted(row, reverse=True)[:k] for row in bank.captions.tolist()]

    def hubness(nearest: list[float]) -> float:
        return sum(math.exp(40 * (s - 0.1) if repaired else 40 * s - 0.1) for s in nearest)

    def rivals(nearest: list[float]) -> float:
        return sum(math.exp(40 * (s - 0.2)) for s in nearest)

    d = [scores[i][i] for i in range(size)]
    negative = [
        [
            (hubness(ti[i]) + hubness(tc[j]))
            / (hubness(ti[i]) + hubness(tc[j]) + math.exp(40 * d[i]) + math.exp(40 * d[j]))
            for j in range(size)
        ]
        for i in range(size)
    ]
    positive = []
    for i in range(size):
        own = math.exp(40 * (d[i] - 0.2))
        positive.append(1 - own / (own + rivals(ti[i]) + rivals(tc[i])))

    def x(i: int, j: int) -> float:
        if i == j:
            return 0.0 if repaired else 1.0
        return math.exp(30 * negative[i][j] * (scores[i][j] - 0.3))

    total = 0.0
    for i in range(size):
        total += math.log(1 + sum(x(i, j) for j in range(size))) / 30
        total += math.log(1 + sum(x(j, i) for j in range(size))) / 30
        total -= math.log(1 + max(0.0, d[i] * positive[i]))
    return negative, positive, total / size


@pytest.mark.parametrize("repaired", [False, True])
@pytest.mark.parametrize(("size", "mb_k"), [(1, 5), (4, 3), (6, 20)])
def test_global_weighting_is_the_definition(repaired: bool, size: int, mb_k: int):
    images, captions, pairs = batch(size)
    objective = HAL(mb_k=mb_k, memory_bank=True, global_weighting="repaired" if repaired else "published")
    bank = filled(objective.bank.exclude)
    pairs.bank = bank.scores(images, captions, pairs)
    scores = (images @ captions.T).requires_grad_()
    left = int((pairs.bank.images[0] > -torch.inf).sum())
    k = min(mb_k, left) if repaired else min(mb_k, size)
    negative, positive, value = plain_global(scores.tolist(), pairs.bank, k, repaired)
    found_negative, found_positive = objective.global_weights(scores.detach().diagonal(), pairs.bank)
    np.testing.assert_allclose(found_negative, negative, rtol=1e-9)
    np.testing.assert_allclose(found_positive, positive, rtol=1e-6, atol=1e-12)
    loss = objective(scores, pairs)
    assert loss.item() == pytest.approx(value, rel=1e-9)
    loss.backward()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("weighting", ["published", "repaired"])
def test_weights_and_bank_pass_no_gradient(weighting: str):
    images, captions, pairs = batch(5)
    images.requires_grad_()
    pairs.bank = filled().scores(images, captions, pairs)
    assert not pairs.bank.images.requires_grad
    scores = (images @ captions.T).detach()
    objective = HAL(mb_k=4, global_weighting=weighting)
    negative, positive = objective.global_weights(scores.diagonal(), pairs.bank)

    def with_constant_weights(scores: Tensor) -> Tensor:
        objective.global_weights = lambda *_: (negative, positive)
        return objective(scores, pairs)

    (found,) = torch.autograd.grad(HAL(mb_k=4, global_weighting=weighting)(scores.requires_grad_(), pairs), scores)
    (expected,) = torch.autograd.grad(with_constant_weights(scores), scores)
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(with_constant_weights, scores)


@pytest.mark.parametrize("positive_term", ["published", "repaired"])
@pytest.mark.parametrize("weighting", ["published", "repaired"])
@pytest.mark.parametrize("setting", [(30.0, 0.3), (60.0, 0.7)])
def test_float32_holds_the_extremes_with_a_bank(setting: tuple[float, float], weighting: str, positive_term: str):
    ids = torch.arange(64)
    for bank_score in (-1.0, 1.0):
        for positive in (-1.0, 1.0):
            scores = torch.full((64, 64), -positive).fill_diagonal_(positive).requires_grad_()
            bank = BankScores(torch.full((64, 300), bank_score), torch.full((64, 300), bank_score))
            objective = HAL(*setting, positive_term=positive_term, global_weighting=weighting)
            loss = objective(scores, Pairs(ids, ids, bank=bank))
            loss.backward()
            assert torch.isfinite(loss)
            assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("weighting", ["published", "repaired"])
def test_a_bank_smaller_than_k_is_legal(weighting: str):
    images, captions, pairs = batch(8)
    scores = (images @ captions.T).requires_grad_()
    local = HAL()(scores, pairs)
    for rows in (1, 2, 5):
        pairs.bank = filled(rows=rows).scores(images, captions, pairs)
        loss = HAL(mb_k=250, global_weighting=weighting)(scores, pairs)
        (gradient,) = torch.autograd.grad(loss, scores)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0
    assert local != loss


def test_a_bank_of_the_batch_itself_weighs_nothing():
    images, captions, pairs = batch(4)
    scores = images @ captions.T
    local = HAL()(scores, pairs)
    bank = MemoryBank()
    bank.remember(images, captions, pairs.image_ids, pairs.caption_ids)
    pairs.bank = bank.scores(images, captions, pairs)
    assert (pairs.bank.images == -torch.inf).all()
    repaired = HAL(global_weighting="repaired")(scores, pairs)  # local weighting but for the diagonal's e^-9
    assert repaired.item() == pytest.approx(local.item(), abs=2e-5)


def gradient_of_positive(positive: float, term: str) -> float:
    scores = torch.tensor([[positive]], dtype=torch.float64, requires_grad=True)
    one = torch.zeros(1, dtype=torch.int64)
    HAL(positive_term=term)(scores, Pairs(one, one)).backward()
    return scores.grad.item()


def test_only_the_repaired_term_pulls_a_pair_below_zero():
    assert gradient_of_positive(-0.2, "published") == 0
    assert gradient_of_positive(-0.2, "repaired") == -1
    assert gradient_of_positive(-1.0, "repaired") == -1
    for positive in (0.1, 0.5, 1.0):
        expected = -1 / (1 + positive)
        assert gradient_of_positive(positive, "published") == pytest.approx(expected)
        assert gradient_of_positive(positive, "repaired") == pytest.approx(expected)


def test_dead_positives_are_diagnosed_with_the_remedy():
    dead = torch.full((4, 4), 0.1).fill_diagonal_(-0.1)
    alive = torch.full((4, 4), -0.1).fill_diagonal_(0.1)
    assert "positive_term repaired" in HAL().diagnose(dead)
    assert HAL().diagnose(alive) is None
    assert HAL(positive_term="repaired").diagnose(dead) is None


def test_a_dead_start_trains_only_when_repaired():
    ids = torch.arange(8)
    results = {}
    for term in ("published", "repaired"):
        images = torch.nn.Parameter(-embeddings(8, 1).float())
        captions = torch.nn.Parameter(embeddings(8, 1).float() + 0.02 * embeddings(8, 2).float())
        optimizer = torch.optim.Adam([images, captions], lr=0.05)
        objective = HAL(positive_term=term)
        for _ in range(60):
            scores = l2norm(images) @ l2norm(captions).T
            optimizer.zero_grad()
            objective(scores, Pairs(ids, ids)).backward()
            optimizer.step()
        results[term] = float((scores.diagonal() > 0.5).float().mean())
    assert results == {"published": 0.0, "repaired": 1.0}


def test_sum_form_is_the_sum_of_hinges_with_the_same_rule():
    summed = HAL(same_image="ignore").sum_form()
    assert type(summed) is SumHinge
    assert (summed.margin, summed.same_image) == (0.2, "ignore")
