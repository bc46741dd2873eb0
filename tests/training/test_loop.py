"""Steps of the loop: what is not finite changes nothing, and where a run validates."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from vse.data.batches import PairBatch
from vse.errors import InputError
from vse.losses import MaxHinge
from vse.training.loop import BAD_LOSSES, look, losses_of, stopped_early, take_step, update, validation_due
from vse.training.optimizers import fused
from vse.training.runs import Progress
from vse.training.session import Session
from vse.training.step import StepResult

BATCH = cast(PairBatch, None)
CAPTIONS = torch.arange(9)


class Log:
    """Keeps the losses that it is given."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def add(self, losses: dict[str, Tensor], pairs: int, averaged: bool) -> None:
        self.losses.append(losses["loss"].item())


def weight() -> tuple[nn.Parameter, torch.optim.Optimizer]:
    parameter = nn.Parameter(torch.ones(2))
    return parameter, fused(torch.optim.SGD([parameter], lr=1.0))


def session(step: Callable[[Any], StepResult], parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> Session:
    """A run of epochs of four steps whose rate halves from step to step."""
    training = SimpleNamespace(grad_clip=0.0, val_step=3)
    return cast(
        Session,
        SimpleNamespace(
            progress=Progress(),
            optimizer=optimizer,
            initial_rates=[1.0],
            trained=[parameter],
            steps_per_epoch=4,
            rate_factor=lambda epoch: 0.5 ** (4 * epoch),
            objective=MaxHinge(),
            average=None,
            run=SimpleNamespace(world_size=1),
            unseen=[],
            taken=0,
            dropped=0,
            dropped_in_a_row=0,
            step=step,
            options=SimpleNamespace(training=training),
        ),
    )


def result(loss: Tensor) -> StepResult:
    return StepResult(loss, torch.tensor(1.0), torch.tensor(2.0), {"captioning": torch.tensor(4.0)}, torch.eye(2))


def test_the_gradient_is_clipped_to_its_largest_norm() -> None:
    parameter, optimizer = weight()
    assert update((parameter * torch.tensor([3.0, 4.0])).sum(), optimizer, [parameter], grad_clip=1.0) == 0
    assert parameter.tolist() == pytest.approx([0.4, 0.2], abs=1e-5)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_no_weight(factor: float) -> None:
    parameter, optimizer = weight()
    assert update((parameter * factor).sum(), optimizer, [parameter], grad_clip=2.0) == 1
    assert parameter.tolist() == [1, 1]


def test_an_infinite_gradient_of_a_finite_loss_changes_no_weight() -> None:
    parameter, optimizer = weight()
    parameter.data.zero_()
    assert update(parameter.sqrt().sum(), optimizer, [parameter], grad_clip=0.0) == 1
    assert parameter.tolist() == [0, 0]


def test_the_last_gradient_is_freed_before_the_forward_pass() -> None:
    parameter, optimizer = weight()
    gradients: list[Tensor | None] = []

    def step(_: PairBatch) -> StepResult:
        gradients.append(parameter.grad)
        return result(parameter.sum())

    run = session(step, parameter, optimizer)
    for _ in range(2):
        take_step(run, BATCH, CAPTIONS)
    assert gradients == [None, None]


def test_the_rate_is_that_of_the_step_not_of_the_epoch() -> None:
    parameter, optimizer = weight()
    run = session(lambda _: result(parameter.sum()), parameter, optimizer)
    values = []
    for _ in range(3):
        take_step(run, BATCH, CAPTIONS)
        values.append(parameter[0].item())
    assert values == [0, -0.5, -0.75]
    assert (run.progress.position, run.progress.step) == (3, 3)


def test_losses_that_stay_not_finite_end_the_run() -> None:
    parameter, optimizer = weight()
    run = session(lambda _: result(parameter.sum() * float("nan")), parameter, optimizer)
    for _ in range(BAD_LOSSES - 1):
        take_step(run, BATCH, CAPTIONS)
    assert look(run, Log()) == [True] * (BAD_LOSSES - 1)
    for _ in range(BAD_LOSSES):
        take_step(run, BATCH, CAPTIONS)
    with pytest.raises(InputError, match=r"nan three times in a row, last .* position 2 of epoch 0 \(captions \[0, 1"):
        look(run, Log())


def test_a_finite_loss_starts_the_count_again() -> None:
    parameter, optimizer = weight()
    losses = iter([float("nan"), float("nan"), 1.0, float("nan"), float("nan")])
    run, log = session(lambda _: result(parameter.sum() * next(losses)), parameter, optimizer), Log()
    for _ in range(5):
        take_step(run, BATCH, CAPTIONS)
    assert look(run, log) == [True, True, False, True, True]
    assert log.losses == [2]
    assert look(run, log) == []


@pytest.mark.parametrize(
    ("progress", "due"),
    [
        (Progress(), False),
        (Progress(step=2, position=2), False),
        (Progress(step=3, position=3), True),
        (Progress(step=3, position=3, validated=3), False),
        (Progress(step=4, position=0, epoch=1), True),
    ],
)
def test_a_run_validates_every_val_step_and_after_an_epoch(progress: Progress, due: bool) -> None:
    run = session(lambda _: result(torch.zeros(())), *weight())
    run.progress = progress
    assert validation_due(run) == due


def test_logged_losses_tell_retrieval_from_the_networks_terms() -> None:
    named = {name: value.item() for name, value in losses_of(result(torch.tensor(7.0))).items()}
    assert named == {"loss": 7, "retrieval": 3, "image_to_text": 1, "text_to_image": 2, "captioning": 4}


@pytest.mark.parametrize(
    ("patience", "best", "epoch", "position", "stopped"),
    [
        (2, 3, 5, 0, True),
        (2, 3, 4, 0, False),
        (2, 3, 5, 1, False),  # an epoch that has begun is ended
        (2, None, 5, 0, False),
        (None, 1, 99, 0, False),
    ],
)
def test_early_stopping_counts_epochs_since_the_best(
    patience: int | None, best: int | None, epoch: int, position: int, stopped: bool
) -> None:
    parameter, optimizer = weight()
    run: Any = session(lambda _: result(parameter.sum()), parameter, optimizer)
    run.options.training.early_stopping = patience
    run.record = SimpleNamespace(content={"best_epoch": best})
    run.progress = Progress(epoch=epoch, position=position)
    assert stopped_early(run) is stopped
