"""LSEH against its definition, and its rules for captions of one image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from tests.losses.plain import Matrix, assert_value, batches, inner
from vse.errors import InputError
from vse.losses import LSEH, SAM, Pairs


def plain_lseh(scores: Matrix, images: list[int], vectors: Matrix, rule: str, hardest: bool) -> float:
    size, total = len(scores), 0.0

    def margin(i: int, j: int) -> float:
        if images[i] == images[j] and rule == "zero_margin":
            return 0.0
        largest = max(inner(vectors[i], vector) for vector in vectors)
        return 0.185 + 0.025 * (inner(vectors[i], vectors[j]) / largest if largest else 0.0)

    for query in range(size):
        same = [other for other in range(size) if images[other] == images[query]]
        positives = same if rule == "positive" else [query]
        out = same if rule in ("ignore", "positive") else [query]
        others = [other for other in range(size) if other not in out]
        for right in positives:
            rows = [margin(query, j) + scores[query][j] - scores[query][right] for j in others]
            columns = [margin(i, query) + scores[i][query] - scores[right][query] for i in others]
            for costs in (rows, columns):
                clamped = [max(0.0, cost) for cost in costs]
                total += (max(clamped, default=0.0) if hardest else sum(clamped)) / len(positives)
    return total


@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("rule", ["zero_margin", "negative", "ignore", "positive"])
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, hardest: bool, batch):
    objective = LSEH(same_image=rule, max_violation=hardest)
    assert_value(objective, batch, plain_lseh(*batch, rule, hardest))


def siblings(**options: Any) -> Tensor:
    """Gradient of LSEH where captions 0 and 1 are of one image and 1 outscores 0, in sum mode."""
    scores = torch.tensor([[0.5, 0.6, -1.0], [-1.0, 0.9, -1.0], [-1.0, -1.0, 0.9]], requires_grad=True)
    pairs = Pairs(torch.tensor([7, 7, 8]), torch.tensor([35, 36, 40]), torch.eye(3))
    LSEH(**options)(scores, pairs).backward()
    return scores.grad


def test_same_image_decides_what_siblings_are():
    assert siblings()[0, 1] == 1
    assert (siblings(same_image="ignore") == 0).all()
    scores = torch.tensor([[0.7, 0.6], [-1.0, 0.9]], requires_grad=True)  # within the margin, but not ahead
    pairs = Pairs(torch.tensor([7, 7]), torch.tensor([35, 36]), torch.eye(2))
    for same_image, cost in (("zero_margin", 0.0), ("negative", 0.085)):
        assert LSEH(same_image=same_image)(scores, pairs).item() == pytest.approx(cost, abs=1e-6)


def test_legacy_key_takes_unrelated_pairs_for_one_image():
    scores = torch.zeros(2, 2)
    pairs = Pairs(torch.tensor([1, 5]), torch.tensor([1, 5]), torch.eye(2))  # one caption an image; 5 // 5 == 1
    assert LSEH()(scores, pairs).item() == pytest.approx(4 * 0.185)
    assert LSEH(same_image_key="legacy_div5")(scores, pairs).item() == pytest.approx(2 * 0.185)


def test_legacy_key_with_another_rule_is_refused():
    with pytest.raises(InputError, match=r"^same_image_key legacy_div5: .*zero_margin"):
        LSEH(same_image="ignore", same_image_key="legacy_div5")


def test_nearer_captions_get_a_larger_margin_than_in_sam():
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    ids = torch.arange(3)
    costs = {}
    for rival in (1, 2):
        scores = torch.full((3, 3), -9.0).fill_diagonal_(0.5)
        scores[0, rival] = 0.5
        pairs = Pairs(ids, ids * 5, vectors)
        costs[rival] = [objective(scores, pairs).item() for objective in (LSEH(), SAM())]
    assert costs[1][0] > costs[2][0]
    assert costs[1][1] < costs[2][1]


def test_sum_form_is_lseh_without_max_violation():
    summed = LSEH(0.1, 0.2, max_violation=True, semantic_normalise="cosine").sum_form()
    assert isinstance(summed, LSEH)
    assert (summed.margin, summed.semantic_weight, summed.max_violation) == (0.1, 0.2, False)
    assert summed.semantic_normalise == "cosine"
    assert summed.sum_form() is None
