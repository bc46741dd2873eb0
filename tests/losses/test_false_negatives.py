"""The filter of probable false negatives."""

from __future__ import annotations

import pytest
import torch

from vse.errors import InputError
from vse.losses import Gist, MaxHinge, Pairs

VECTORS = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 0.0], [2.0, 0.0]])
"""Cosines with the first: 1, 0.96, 0.8, none (no description), 1 (another length)."""


def dropped(gist: Gist) -> list[int]:
    return gist.suspects(VECTORS)[0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize(
    ("gist", "expected"),
    [
        (Gist(), [0, 1, 4]),
        (Gist(margin=0.03), [0, 4]),
        (Gist(margin=0.3), [0, 1, 2, 4]),
        (Gist(ratio=0.95), [0, 1, 4]),
        (Gist(ratio=0.7), [0, 1, 2, 4]),
        (Gist(ratio=float("inf")), []),
    ],
)
def test_captions_above_the_threshold_are_suspects(gist: Gist, expected: list[int]):
    assert dropped(gist) == expected


def test_suspicion_is_mutual():
    suspects = Gist().suspects(VECTORS)
    assert torch.equal(suspects, suspects.T)


def test_a_caption_without_a_description_suspects_nothing():
    assert not Gist(margin=5.0).suspects(VECTORS)[3].any()


def test_a_query_without_negatives_left_costs_nothing():
    ids = torch.arange(2)
    scores = torch.zeros(2, 2, requires_grad=True)
    loss = MaxHinge(false_negatives=Gist())(scores, Pairs(ids, ids, torch.ones(2, 3)))
    loss.backward()
    assert loss == 0
    assert (scores.grad == 0).all()


def test_two_thresholds_are_refused():
    with pytest.raises(InputError, match=r"^gist_margin 0.1: is another form of gist_ratio"):
        Gist(0.1, 0.9)


@pytest.mark.parametrize("constant", [{"margin": -0.1}, {"margin": float("nan")}, {"ratio": 0.0}])
def test_thresholds_out_of_range_are_refused(constant: dict):
    with pytest.raises(InputError, match="expected"):
        Gist(**constant)
