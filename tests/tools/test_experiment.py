"""The runs of an experiment: what is done once, continued, waited for, stopped and refused."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tools.experiments import add, table
from vse.errors import InputError
from vse.tools import experiment
from vse.tools.experiment import main, run_tasks, state_of
from vse.tools.options import ExperimentOptions
from vse.tools.plans import Task, read_plan, tasks_of
from vse.training import locks


def test_a_done_plan_runs_nothing_again(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")}
    before = {path: stamp for path, stamp in before.items() if path.parent.name != "report"}
    main(ExperimentOptions(str(plan), out="out"))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_killed_plan_ends_in_the_table_of_an_undisturbed_one(plan: Path, tmp_path: Path, monkeypatch) -> None:
    main(ExperimentOptions(str(plan), out="whole"))
    monkeypatch.setenv("EPOCH_SECONDS", "0.3")
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os.setsid()
            try:
                main(ExperimentOptions(str(plan), out="broken"))
            finally:
                os._exit(0)
        time.sleep(0.8)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not (tmp_path / "broken" / "report").exists()
    monkeypatch.setenv("EPOCH_SECONDS", "0.01")
    main(ExperimentOptions(str(plan), out="broken", jobs=2))
    assert table(tmp_path / "broken") == table(tmp_path / "whole")


def test_a_half_done_run_is_continued_not_begun_anew(plan: Path, tmp_path: Path) -> None:
    task = tasks_of(read_plan(plan, "out"))[0]
    task.folder.mkdir(parents=True)
    (task.folder / "checkpoint.pth.tar").write_text("[1000]")  # as after one epoch
    main(ExperimentOptions(str(plan), out="out"))
    assert json.loads((task.folder / "checkpoint.pth.tar").read_text())[0] == 1000


def test_a_folder_of_another_command_is_refused_untouched(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    plan.write_text(plan.read_text().replace("--num_epochs 4", "--num_epochs 9"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"holds a run of another command, .*--num_epochs 4"):
        main(ExperimentOptions(str(plan), out="out"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_is_named_and_does_not_stop_the_others(plan: Path, tmp_path: Path) -> None:
    plan.write_text(plan.read_text() + 'bad = "--loss broken"\n')
    with pytest.raises(InputError) as failed:
        main(ExperimentOptions(str(plan), out="out"))
    assert "2 of 8 runs failed" in str(failed.value)
    assert "train.py ended with status 1: error: this objective does not exist" in str(failed.value)
    assert [row["run"] for row in table(tmp_path / "out")] == ["LMH", "HAL | mine"]
    assert "Not finished: demo, bad, seed 0" in (tmp_path / "out" / "report" / "report.md").read_text()


def test_what_needs_a_failed_run_is_left_out(plan: Path) -> None:
    plan.write_text(plan.read_text().replace("--loss sum_hinge", "--loss broken"))
    with pytest.raises(InputError, match=r"6 of 6 runs failed: .*; demo, LMH, seed 0: what it begins with failed"):
        main(ExperimentOptions(str(plan), out="out"))


def test_jobs_run_side_by_side_and_share_the_threads(plan: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setenv("EPOCH_SECONDS", "0.1")
    main(ExperimentOptions(str(plan), out="out", jobs=2))
    spans = [line.split() for path in (tmp_path / "out").glob("*/spans") for line in path.read_text().splitlines()]
    assert {threads for threads, _, _ in spans} == {"4"}
    moments = sorted(
        (float(moment), change) for span in spans for moment, change in zip(span[1:], (1, -1), strict=True)
    )
    running = [sum(change for _, change in moments[: place + 1]) for place in range(len(moments))]
    assert max(running) == 2


def test_commands_are_printed_without_doing_anything(plan: Path, tmp_path: Path, capsys) -> None:
    before = sorted(tmp_path.rglob("*"))
    main(ExperimentOptions(str(plan), out="out", dry_run=True))
    lines = capsys.readouterr().out.splitlines()
    assert sorted(tmp_path.rglob("*")) == before
    assert lines[:2] == [
        "# warm start of demo, net, seed 0",
        "python net/train.py --loss sum_hinge --seed 0 --logger_name out/demo__net__warm_start__seed_0 --resume auto",
    ]
    assert sum(line.startswith("python") for line in lines) == 2 + 2 * 4


def test_an_experiment_of_every_epoch_is_resumed_too(plan: Path, tmp_path: Path, monkeypatch) -> None:
    add(plan, "test_every_epoch = true")
    main(ExperimentOptions(str(plan), out="whole"))
    commands: list[Any] = []

    def killed(command: Any, *rest: Any) -> None:
        commands.append(command)
        if len(commands) > 9:
            raise KeyboardInterrupt
        run(command, *rest)

    run = experiment._run
    monkeypatch.setattr(experiment, "_run", killed)
    with pytest.raises((KeyboardInterrupt, InputError)):
        main(ExperimentOptions(str(plan), out="broken"))
    monkeypatch.setattr(experiment, "_run", run)
    main(ExperimentOptions(str(plan), out="broken"))
    assert table(tmp_path / "broken") == table(tmp_path / "whole")


def test_an_ensemble_of_new_models_is_evaluated_anew(plan: Path, tmp_path: Path) -> None:
    add(plan, "ensembles = [[0, 1]]")
    main(ExperimentOptions(str(plan), out="out"))
    together = tmp_path / "out" / "demo__net__lmh__seed_0_1" / "test.json"
    together.write_text(together.read_text().replace('"rsum": 76', '"rsum": 11'))
    (tmp_path / "out" / "demo__net__lmh__seed_0" / "test.json").unlink()
    main(ExperimentOptions(str(plan), out="out"))
    assert json.loads(together.read_text())["rsum"] == 76.0


def test_a_run_that_outlives_its_experiment_is_waited_for(plan: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    folder = tmp_path / "out" / "demo__net__lmh__seed_0"
    lock = locks.hold(folder)
    monkeypatch.setattr(experiment._stopping, "wait", lambda seconds: lock.release())
    task = next(task for task in tasks_of(read_plan(plan, str(tmp_path / "out"))) if task.folder == folder)
    warm = tmp_path / "out" / "demo__net__warm_start__seed_0"
    warm.mkdir()
    (warm / "model_best.pth.tar").write_text("[35]")
    experiment.run_task(task, 1)
    assert capsys.readouterr().out.count("still works on it, waiting") == 1
    assert state_of(task) == "done"


def test_an_experiment_that_waits_for_a_run_can_be_stopped(plan: Path, tmp_path: Path) -> None:
    with locks.hold(tmp_path / "out" / "demo__net__warm_start__seed_0"):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                main(ExperimentOptions(str(plan), out="out"))
            except KeyboardInterrupt:
                os._exit(7)
            finally:
                os._exit(1)
        time.sleep(0.5)
        os.kill(child, signal.SIGTERM)
        until = time.monotonic() + 5
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
            time.sleep(0.05)
        if ended[0] == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 7


def test_no_command_begins_once_the_experiment_is_stopped(plan: Path, tmp_path: Path, monkeypatch) -> None:
    task = tasks_of(read_plan(plan, "out"))[0]
    monkeypatch.setattr(experiment, "_stopping", threading.Event())
    experiment._stopping.set()
    monkeypatch.setenv("EPOCH_SECONDS", "9")
    with pytest.raises(InputError, match=r"train\.py ended with status -15"):
        experiment.run_task(task, 1)


def test_a_plan_is_run_from_its_own_copy(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    main(ExperimentOptions("out/plan.toml", out="out"))
    assert (tmp_path / "out" / "plan.toml").read_text() == plan.read_text()


@pytest.mark.parametrize("given", ["", "3,2", "3"])
def test_threads_given_in_any_form_of_openmp_are_shared(plan: Path, tmp_path: Path, monkeypatch, given: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    main(ExperimentOptions(str(plan), out="out", jobs=2))
    spans = [path.read_text().split()[0] for path in (tmp_path / "out").glob("*/spans")]
    assert set(spans) == {"3" if given else "4"}


def test_two_experiments_do_not_share_a_folder(plan: Path, tmp_path: Path) -> None:
    with locks.hold(tmp_path / "out"), pytest.raises(InputError, match="in use by process"):
        main(ExperimentOptions(str(plan), out="out"))


def test_tasks_wait_for_what_they_need() -> None:
    finished: list[str] = []

    class Soon:
        def __init__(self, task: Task) -> None:
            assert set(task.needs) <= set(finished)
            self.task, self.polls = task, 0

        def done(self) -> bool:
            self.polls += 1
            if self.polls > 1 and self.task.name not in finished:
                finished.append(self.task.name)
            return self.polls > 1

        def exception(self) -> None:
            return None

    tasks = [Task(name, Path(name), (), (), needs) for name, needs in (("c", ("a", "b")), ("a", ()), ("b", ("a",)))]
    assert run_tasks(tasks, set(), Soon, 3) == {}
    assert finished == ["a", "b", "c"]
