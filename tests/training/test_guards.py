"""A collapse or a plateau is told once, in one sentence, and only when it lasts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vse.losses import HAL, InfoNCE, MaxHinge, Objective, Pairs, Warmup
from vse.training.guards import CollapseGuard
from vse.training.step import StepResult

ALIKE = torch.full((4, 4), 0.9)
APART = torch.eye(4)


def looked(guard: CollapseGuard, *steps: Tensor, objective: Objective | None = None) -> None:
    zero = torch.zeros(())
    for step, scores in enumerate(steps):
        pairs = Pairs(torch.arange(len(scores)), torch.arange(len(scores)))
        guard.look(StepResult(torch.tensor(1.6), zero, zero, {}, scores), objective or MaxHinge(), pairs, step, 100)


def test_three_looks_at_equal_scores_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    guard = CollapseGuard()
    looked(guard, ALIKE, ALIKE)
    assert capsys.readouterr().err == ""
    looked(guard, *[ALIKE] * 5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "collapse: all pairs score 0.900 and the loss stands at 1.60" in lines[0]


def test_scores_that_come_apart_again_are_no_collapse(capsys: pytest.CaptureFixture[str]) -> None:
    looked(CollapseGuard(), ALIKE, ALIKE, APART, ALIKE, ALIKE)
    assert capsys.readouterr().err == ""


def test_a_batch_of_one_pair_is_no_collapse(capsys: pytest.CaptureFixture[str]) -> None:
    looked(CollapseGuard(), *[torch.ones(1, 1)] * 4)
    assert capsys.readouterr().err == ""


def test_what_the_objective_finds_wrong_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    looked(CollapseGuard(), -APART, -APART, objective=HAL())
    assert capsys.readouterr().err.count("hal: more than half of the matching pairs") == 1


PAIRS = Pairs(torch.arange(8), torch.arange(8))


def told(objective: Objective, scores: torch.Tensor, capsys: pytest.CaptureFixture[str], steps: int = 60) -> str:
    """What the guard says to scores that stay as they are, in the first epoch of 100 steps."""
    guard = CollapseGuard()
    for step in range(10, steps + 1, 10):
        directions = objective.directions(scores, PAIRS)
        guard.look(StepResult(sum(directions), *directions, {}, scores), objective, PAIRS, step, 100)
    return capsys.readouterr().err


def nearly_equal() -> torch.Tensor:
    return 0.4 + 0.002 * torch.rand(8, 8, generator=torch.Generator().manual_seed(0))


def test_a_plateau_is_named_in_the_first_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(MaxHinge(0.2), nearly_equal(), capsys)
    assert said.count("plateau") == 1
    assert "stands at 0.40" in said
    assert "close to the 0.400" in said
    assert "--warmup_epochs 1" in said


def test_a_short_stay_on_the_plateau_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "plateau" not in told(MaxHinge(0.2), nearly_equal(), capsys, steps=50)


def test_a_run_that_learns_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(MaxHinge(0.2), nearly_equal() + 0.1 * torch.eye(8), capsys) == ""


def test_a_plateau_of_a_loss_below_zero_is_named_too(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(HAL(), nearly_equal() - 0.25, capsys)
    assert said.count("plateau") == 1
    assert "--warmup_epochs 1" in said


def test_no_warm_up_is_named_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "warmup" not in told(InfoNCE(), nearly_equal(), capsys)


def test_a_run_in_its_warm_up_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert "plateau" not in told(Warmup(MaxHinge(0.2), 1), nearly_equal(), capsys)


def test_a_warm_up_that_was_too_short_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    objective = Warmup(MaxHinge(0.2), 1)
    objective.begin(1, 0, 100)
    assert "--warmup_epochs 2 or more" in told(objective, nearly_equal(), capsys)
