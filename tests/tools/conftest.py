"""An experiment that runs in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.experiments import EVALUATION, TRAIN
from vse.tools import experiment_report


@pytest.fixture
def plan(tmp_path: Path, monkeypatch) -> Path:
    """A plan of two objectives, one network and two seeds, with warm starts."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "train.py").write_text(TRAIN)
    (tmp_path / "net" / "evaluation.py").write_text(EVALUATION)
    path = tmp_path / "plan.toml"
    path.write_text(
        'title = "A & <b>"\nseeds = [0, 1]\nwarm_start = "--loss sum_hinge"\ntrain = "--num_epochs 4"\n'
        f'[networks]\nnet = "{tmp_path}/net/train.py"\n'
        '[objectives]\nLMH = "--loss lmh"\n"HAL | mine" = "--loss hal"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment_report, "_draw", lambda *_: iter(()))  # plots take a second
    return path


@pytest.fixture
def plan_with_plots(plan: Path, monkeypatch) -> Path:
    """The same plan, plots included."""
    monkeypatch.undo()
    monkeypatch.chdir(plan.parent)
    return plan
