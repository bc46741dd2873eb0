"""The learned temperature."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.losses.plain import random_pairs
from vse.errors import InputError
from vse.losses import DCL, HNNCE, InfoNCE, Pairs, SoftLabels

KINDS = (InfoNCE, DCL, HNNCE, SoftLabels)


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_is_learned(kind: type):
    scores, pairs = random_pairs(4, seed=0)
    objective = kind().double()

    def loss(log_temperature: Tensor) -> Tensor:
        return torch.func.functional_call(objective, {"log_temperature": log_temperature}, (scores, pairs))

    assert torch.autograd.gradcheck(loss, torch.tensor(-2.0, dtype=torch.float64, requires_grad=True))


def test_temperature_stops_at_its_bound_but_can_leave_it():
    objective = InfoNCE()
    with torch.no_grad():
        objective.log_temperature.fill_(-20.0)
    ids = torch.arange(4)
    objective(-torch.eye(4), Pairs(ids, ids)).backward()  # wrong answers: less certainty would cost less
    assert objective.log_temperature.exp().item() == pytest.approx(0.01)
    assert objective.log_temperature.grad < 0


@pytest.mark.parametrize("temperature", [0.0, 0.009, float("nan"), float("inf")])
def test_temperature_out_of_range_is_refused(temperature: float):
    with pytest.raises(InputError, match=r"^temperature .*: expected at least 0.01"):
        InfoNCE(temperature=temperature)
