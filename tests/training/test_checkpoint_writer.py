"""Checkpoints written in a thread: what they hold, when they are due, and what becomes of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vse import checkpoints
from vse.checkpoints import Checkpoint, RunState
from vse.errors import InputError
from vse.training import checkpoint_writer
from vse.training.checkpoint_writer import CheckpointWriter


@pytest.fixture
def writer() -> Iterator[CheckpointWriter]:
    writer = CheckpointWriter()
    yield writer
    writer.close()


def a_checkpoint(weight: torch.Tensor) -> Checkpoint:
    run = RunState({}, {"state": {0: {"step": weight}}, "param_groups": []}, {"seed": 0}, [{"cpu": weight}])
    return Checkpoint("VSEpp", [{"weight": weight}], {"seed": 0}, run=run)


def test_a_checkpoint_has_the_weights_of_its_step(writer: CheckpointWriter, tmp_path: Path) -> None:
    weight = torch.ones(3)
    writer.write(tmp_path / "a.pth.tar", a_checkpoint(weight), tmp_path / "best.pth.tar")
    weight.zero_()  # the next step
    writer.wait()
    saved = checkpoints.load(tmp_path / "a.pth.tar")
    assert saved.run is not None
    for tensor in (saved.parts[0]["weight"], saved.run.optimizer["state"][0]["step"], saved.run.rng[0]["cpu"]):
        assert tensor.tolist() == [1, 1, 1]
    best = checkpoints.load(tmp_path / "best.pth.tar")
    assert best.run is None
    assert best.parts[0]["weight"].tolist() == [1, 1, 1]


def test_a_failed_write_is_told_by_the_next_call(writer: CheckpointWriter, tmp_path: Path) -> None:
    writer.write(tmp_path / "a.pth.tar", a_checkpoint(torch.tensor([torch.nan])))
    with pytest.raises(InputError, match="`weight` holds NaN"):
        writer.write(tmp_path / "a.pth.tar", a_checkpoint(torch.ones(1)))
    assert not list(tmp_path.iterdir())


def test_closing_waits_for_the_last_write(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    writer.write(tmp_path / "a.pth.tar", a_checkpoint(torch.ones(10**6)))
    writer.close()
    assert len(checkpoints.load(tmp_path / "a.pth.tar").parts[0]["weight"]) == 10**6


def test_a_checkpoint_is_due_some_time_after_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: now)
    writer = CheckpointWriter()
    now += checkpoint_writer.SAVE_EVERY
    assert writer.due
    writer.write(tmp_path / "a.pth.tar", a_checkpoint(torch.ones(1)))
    assert not writer.due
    writer.close()
