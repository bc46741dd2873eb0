"""Warm-up, growing gradients and rescaled scores around an objective."""

from __future__ import annotations

import pytest
import torch

from vse.errors import InputError
from vse.losses import (
    HAL,
    LSEH,
    SAM,
    GrowingGradient,
    InfoNCE,
    MaxHinge,
    Objective,
    Pairs,
    Rescaled,
    SoftMargin,
    SumHinge,
    Warmup,
)


def pairs(count: int = 4) -> Pairs:
    rows = torch.arange(count)
    return Pairs(rows, rows, torch.randn(count, 3, generator=torch.Generator().manual_seed(0)))


def scores(count: int = 4) -> torch.Tensor:
    return torch.randn(count, count, generator=torch.Generator().manual_seed(1))


HARDEST = [
    MaxHinge(0.3),
    LSEH(0.3, max_violation=True),
    SAM(0.3, max_violation=True),
    SoftMargin(max_violation=True),
    Rescaled(MaxHinge(0.3), 2.0),
]


@pytest.mark.parametrize("objective", HARDEST, ids=lambda objective: type(objective).__name__)
def test_first_epochs_sum_over_all_negatives(objective: Objective) -> None:
    warm = Warmup(objective, 1)
    warm.begin(0, 9, 10)
    summed = warm(scores(), pairs())
    warm.begin(1, 0, 10)
    assert warm(scores(), pairs()) == objective(scores(), pairs())
    assert summed == objective.sum_form()(scores(), pairs())
    assert summed > objective(scores(), pairs())


def test_mean_form_is_the_sum_over_the_batch_size() -> None:
    warm = Warmup(MaxHinge(), 1, "mean")
    assert warm(scores(), pairs()).item() == pytest.approx(SumHinge()(scores(), pairs()).item() / 4)


@pytest.mark.parametrize(("epochs", "warm_steps"), [(0.5, 5), (0.25, 3), (1.0, 10), (1.2, 12)])
def test_warm_up_may_end_within_an_epoch(epochs: float, warm_steps: int) -> None:
    warm = Warmup(MaxHinge(), epochs)
    summed = 0
    for step in range(20):
        warm.begin(step // 10, step % 10, 10)
        summed += warm.warming
    assert summed == warm_steps


def test_gradient_is_sparse_only_after_the_warm_up() -> None:
    warm = Warmup(MaxHinge(), 1)
    assert not warm.sparse_gradient
    warm.begin(1, 0, 10)
    assert warm.sparse_gradient


def test_warm_up_is_a_function_of_where_training_stands() -> None:
    resumed = Warmup(MaxHinge(), 1)
    resumed.begin(3, 2, 10)
    assert not resumed.warming


@pytest.mark.parametrize("objective", [InfoNCE(), SumHinge(), LSEH()], ids=repr)
def test_objective_without_a_sum_to_begin_with_is_refused(objective: Objective) -> None:
    with pytest.raises(InputError, match=r"^warmup_epochs 1: .* has no sum"):
        Warmup(objective, 1)


def test_warm_up_without_length_is_refused() -> None:
    with pytest.raises(InputError, match=r"^warmup_epochs -1"):
        Warmup(MaxHinge(), -1)


def test_gradients_grow_over_one_epoch_and_the_loss_does_not() -> None:
    objective = GrowingGradient(SumHinge(), epoch=2)
    gradients, values = [], []
    for epoch, position in ((1, 0), (2, 0), (2, 1), (2, 3), (3, 0)):
        objective.begin(epoch, position, 4)
        leaf = scores().requires_grad_()
        value = objective(leaf * 1.0, pairs())
        gradients.append(torch.autograd.grad(value, leaf)[0])
        values.append(value.item())
    assert len(set(values)) == 1
    for gradient, share in zip(gradients, (1.0, 0.0, 0.25, 0.75, 1.0), strict=True):
        torch.testing.assert_close(gradient, share * gradients[0])


def test_wrapper_needs_what_its_objective_needs() -> None:
    for wrapped in (Warmup(LSEH(max_violation=True), 1), GrowingGradient(LSEH(), 0), Rescaled(LSEH(), 1.0)):
        assert wrapped.needs_descriptions
    assert GrowingGradient(HAL(memory_bank=True), 0).bank is not None
    assert GrowingGradient(InfoNCE(), 0).needs_bounded_scores


def test_rescaled_is_the_objective_of_the_hyperbolic_tangent() -> None:
    wide = 8 * scores(5).double()
    found = Rescaled(InfoNCE().double(), 4.0)(wide, pairs(5))
    torch.testing.assert_close(found, InfoNCE().double()(torch.tanh(wide / 4), pairs(5)))
    dead = -torch.eye(5)
    assert Rescaled(HAL(), 4.0).diagnose(dead) == HAL().diagnose(dead)


def test_scale_that_is_not_positive_is_refused() -> None:
    with pytest.raises(InputError, match=r"^score_scale 0"):
        Rescaled(HAL(), 0.0)


def test_representation_tells_the_whole_story() -> None:
    warm = Warmup(Rescaled(MaxHinge(), 2.0), 0.5, "mean")
    assert repr(warm) == (
        "MaxHinge(margin=0.2) of tanh(scores / 2) after 0.5 epochs of the mean of "
        "SumHinge(margin=0.2) of tanh(scores / 2)"
    )
