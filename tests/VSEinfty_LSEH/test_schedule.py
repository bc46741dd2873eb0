"""Objective warm-up, growing gradients, learning rates."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vse.errors import InputError
from vse.losses import LSEH, MaxHinge, ObjectiveOptions, SumHinge
from vse.losses.objective import Pairs
from VSEinfty_LSEH import loss
from VSEinfty_LSEH.schedule import learning_rate_factor


def pairs(count: int = 4) -> Pairs:
    rows = torch.arange(count)
    return Pairs(rows, rows, torch.randn(count, 3, generator=torch.Generator().manual_seed(0)))


def test_the_objective_takes_the_hardest_negatives_from_the_start_as_published() -> None:
    objective = loss.objective(ObjectiveOptions())
    assert isinstance(objective.objective, LSEH)
    assert objective.objective.max_violation
    assert objective.first is None
    assert (objective.objective.margin, objective.objective.semantic_weight) == (0.185, 0.025)


@pytest.mark.parametrize(("name", "kind"), [("lseh", LSEH), ("lmh", SumHinge)])
def test_the_first_epochs_sum_over_all_negatives(name: str, kind: type) -> None:
    objective = loss.objective(ObjectiveOptions(loss=name, margin=0.3), sum_epochs=1)
    assert isinstance(objective.first, kind)
    assert objective.first.margin == 0.3
    scores = torch.randn(4, 4)
    objective.begin(0, 0)
    summed = objective(scores, pairs())
    objective.begin(1, 0)
    hardest = objective(scores, pairs())
    assert summed == objective.first(scores, pairs())
    assert hardest == objective.objective(scores, pairs())
    assert summed > hardest


def test_max_violation_leaves_the_first_epochs_out() -> None:
    objective = loss.objective(ObjectiveOptions(loss="lmh", max_violation=True), sum_epochs=3)
    assert objective.first is None
    assert isinstance(objective.objective, MaxHinge)


def test_an_objective_without_a_sum_refuses_first_epochs_of_it() -> None:
    with pytest.raises(InputError, match="--vse_mean_warmup_epochs 1"):
        loss.objective(ObjectiveOptions(loss="infonce"), sum_epochs=1)
    loss.objective(ObjectiveOptions(loss="infonce"))


def test_gradients_grow_over_one_epoch_and_the_loss_does_not() -> None:
    objective = loss.objective(ObjectiveOptions(loss="lsh"))
    objective.growing = (2, 4)
    start = torch.randn(4, 4)
    gradients, values = [], []
    for epoch, position in ((1, 0), (2, 0), (2, 1), (2, 3), (3, 0)):
        objective.begin(epoch, position)
        scores = start.clone().requires_grad_()
        value = objective(scores * 1.0, pairs())
        gradients.append(torch.autograd.grad(value, scores)[0])
        values.append(value.item())
    assert len(set(values)) == 1
    for gradient, share in zip(gradients, (1.0, 0.0, 0.25, 0.75, 1.0), strict=True):
        torch.testing.assert_close(gradient, share * gradients[0])


def test_growth_goes_on_from_step_to_step() -> None:
    objective = loss.objective(ObjectiveOptions(loss="lsh"))
    objective.growing = (0, 10)
    objective.begin(0, 3)
    sums = []
    for _ in range(2):
        scores = torch.ones(3, 3, requires_grad=True)
        objective(scores * 1.0, pairs(3)).backward()
        sums.append(scores.grad.diagonal().sum().item())
    assert sums[1] / sums[0] == pytest.approx(4 / 3)


def options(**values: object) -> SimpleNamespace:
    published = {"lr_update": 10, "lr_update2": 20, "embedding_warmup_epochs": 2, "warmup": "loss"}
    return SimpleNamespace(**{**published, **values})


def test_the_learning_rate_falls_to_a_tenth_twice() -> None:
    factor = learning_rate_factor(options(), grids=False)
    wanted = {0: 1, 9.99: 1, 10: 0.1, 19.5: 0.1, 20: 0.01, 29: 0.01}
    assert {epoch: factor(epoch) for epoch in wanted} == pytest.approx(wanted)


def test_the_learning_rate_may_grow_instead_of_the_loss() -> None:
    factor = learning_rate_factor(options(warmup="learning_rate"), grids=True)
    assert [factor(epoch) for epoch in (1.5, 2.0, 2.25, 3.0)] == pytest.approx([1, 0, 0.25, 1])
    assert learning_rate_factor(options(warmup="learning_rate"), grids=False)(2.0) == 1
