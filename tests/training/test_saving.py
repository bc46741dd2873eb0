"""When a run is saved, and what a resumed one finds of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.sessions import opened
from vse import checkpoints
from vse.training.runs import Run, claim_folders, release_folders, resumes_own
from vse.training.saving import save, settle
from vse.training.session import Session
from VSEpp_LSEH.train import Options


def resumed(options: Options, source: str, run: Run) -> Session:
    """A run that goes on, after it has claimed its folder."""
    session = opened(replace(options, training=replace(options.training, resume=source)), run)
    claim_folders(run, resumes_own(session.options.training, run), {})
    settle(session)
    session.writer.close()
    release_folders(run)
    return session


def saved(options: Options, run: Run, best: bool) -> Session:
    """A run that has saved itself twice, with a score of 7."""
    session = opened(options, run)
    claim_folders(run, False, {})
    release_folders(run)
    session.progress.best = 7.0
    for session.progress.step in (3, 6):
        save(session, best)
    session.writer.close()
    return session


def test_the_checkpoint_before_a_damaged_one_takes_its_place(options: Options, run: Run) -> None:
    saved(options, run, best=True)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-99])
    session = resumed(options, "auto", run)
    assert session.progress.step == 3
    assert checkpoints.load(run.checkpoint).progress["step"] == 3


def test_the_best_model_comes_along_to_another_folder(options: Options, run: Run, tmp_path: Path) -> None:
    saved(options, run, best=True)
    other = Run(tmp_path / "other", torch.device("cpu"))
    assert resumed(options, str(run.checkpoint), other).progress.best == 7
    assert checkpoints.load(other.best_model).progress["best"] == 7


def test_without_its_best_model_a_run_chooses_again(
    options: Options, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(options, run, best=False)
    session = resumed(options, str(run.checkpoint), Run(tmp_path / "other", torch.device("cpu")))
    assert (session.progress.best, session.progress.validated) == (float("-inf"), -1)
    assert "the best is chosen from here on" in capsys.readouterr().err


def test_a_damaged_best_model_is_chosen_again(options: Options, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    saved(options, run, best=True)
    run.best_model.write_bytes(run.best_model.read_bytes()[:-99])
    assert resumed(options, "auto", run).progress.best == float("-inf")
    assert "model_best.pth.tar: the best model so far is not there or damaged" in capsys.readouterr().err


def test_a_run_goes_back_to_the_checkpoint_before(options: Options, run: Run) -> None:
    saved(options, run, best=True)
    session = resumed(options, str(checkpoints.previous_of(run.checkpoint)), run)
    assert session.progress.step == 3
    assert len(list(run.folder.parent.glob("run*/checkpoint.pth.tar"))) == 1


@pytest.mark.parametrize(
    ("best", "files"), [(True, ["checkpoint.pth.tar", "model_best.pth.tar", "run.json"]), (False, ["run.json"])]
)
def test_a_best_model_has_its_checkpoint(options: Options, run: Run, best: bool, files: list[str]) -> None:
    session = opened(options, run)
    run.folder.mkdir()
    save(session, best, at_once=False)
    session.writer.close()
    assert sorted(file.name for file in run.folder.iterdir()) == files


def test_a_run_that_was_killed_early_is_moved_aside(options: Options, run: Run) -> None:
    session = opened(options, run)
    run.folder.mkdir()
    save(session, best=True, at_once=False)
    session.writer.close()
    claim_folders(run, False, {})
    release_folders(run)
    assert not run.best_model.exists()
    assert len(list(run.folder.parent.glob("run*/model_best.pth.tar"))) == 1
