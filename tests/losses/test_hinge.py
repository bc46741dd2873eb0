"""Ties among the hardest negatives."""

from __future__ import annotations

import torch

from vse.losses import LSEH, SAM, MaxHinge, Pairs


def test_the_first_of_tied_negatives_gets_the_gradient():
    for objective in (MaxHinge(), LSEH(max_violation=True, semantic_weight=0.0), SAM(max_violation=True)):
        scores = torch.zeros(3, 3, requires_grad=True)
        ids = torch.arange(3)
        objective(scores, Pairs(ids, ids * 5, torch.zeros(3, 2))).backward()
        expected = torch.tensor([[-2.0, 2.0, 1.0], [2.0, -2.0, 0.0], [1.0, 0.0, -2.0]])
        assert torch.equal(scores.grad, expected)
