"""A collapse is told once, in one sentence, and only when it lasts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vse.losses import HAL, MaxHinge, Objective
from vse.training.guards import CollapseGuard
from vse.training.step import StepResult

ALIKE = torch.full((4, 4), 0.9)
APART = torch.eye(4)


def looked(guard: CollapseGuard, *steps: Tensor, objective: Objective | None = None) -> None:
    zero = torch.zeros(())
    for scores in steps:
        guard.look(StepResult(torch.tensor(1.6), zero, zero, {}, scores), objective or MaxHinge())


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
