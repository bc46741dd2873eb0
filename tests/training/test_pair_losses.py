"""How well the losses of pairs tell mismatched pairs from matching ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vse.data.noise import Noise
from vse.training.pair_losses import PairLosses, pair_losses

CPU = torch.device("cpu")


def losses_of(wrong: list[bool]) -> PairLosses:
    return PairLosses(Noise(np.arange(len(wrong)), np.array(wrong), "captions", ""), CPU)


def test_a_loss_is_how_far_the_hardest_negatives_are_ahead() -> None:
    scores = torch.tensor([[0.5, 0.9, 0.1], [0.2, 0.8, 0.3], [0.7, 0.0, 0.4]])
    expected = [(0.9 + 0.7) / 2 - 0.5, (0.3 + 0.9) / 2 - 0.8, (0.7 + 0.3) / 2 - 0.4]
    assert pair_losses(scores, torch.arange(3)).tolist() == pytest.approx(expected)


def test_pairs_of_one_image_are_no_negatives() -> None:
    scores = torch.tensor([[0.5, 0.9, 0.1], [0.8, 0.8, 0.3], [0.7, 0.0, 0.4]])
    losses = pair_losses(scores, torch.tensor([7, 7, 2]))
    assert losses.tolist() == pytest.approx([(0.1 + 0.7) / 2 - 0.5, (0.3 + 0.0) / 2 - 0.8, (0.7 + 0.3) / 2 - 0.4])


def test_the_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    generator = torch.Generator().manual_seed(0)
    meter = losses_of([True, False, True, False, False, False, True, False])
    table = torch.zeros(8)
    for ids in (torch.tensor([0, 3, 5, 6]), torch.tensor([7, 2, 1, 4])):
        scores = torch.randn(4, 4, generator=generator)
        meter.add(scores, ids + 100, ids)
        table[ids] = pair_losses(scores, ids)
    wrong, right = table[[0, 2, 6]], table[[1, 3, 4, 5, 7]]
    found = meter.take_auc()
    assert found == (pytest.approx((wrong[:, None] > right).double().mean().item()), 8)


def test_equal_losses_tell_nothing() -> None:
    meter = losses_of([True, False, True, False])
    meter.add(torch.ones(4, 4), torch.arange(4), torch.arange(4))
    assert meter.take_auc() == (0.5, 4)


def test_pairs_that_were_not_seen_do_not_count() -> None:
    meter = losses_of([True, False, True, False, False])
    meter.add(torch.tensor([[0.1, 0.5], [0.4, 0.9]]), torch.arange(2), torch.tensor([2, 4]))
    assert meter.take_auc() == (1.0, 2)


def test_every_epoch_begins_anew() -> None:
    meter = losses_of([True, False])
    meter.add(torch.rand(2, 2), torch.arange(2), torch.arange(2))
    assert meter.take_auc() is not None
    assert meter.take_auc() is None


def test_a_pair_without_negatives_does_not_count() -> None:
    meter = losses_of([True, False, False])
    meter.add(torch.ones(1, 1), torch.tensor([5]), torch.tensor([0]))
    meter.add(torch.ones(2, 2), torch.tensor([1, 2]), torch.tensor([1, 2]))
    assert meter.take_auc() is None
