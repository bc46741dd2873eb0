"""`python -m vse experiment` with the real scripts of a network, on a tiny data set."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vse.errors import InputError
from vse.evaluation.comparison import find_evaluations, rows_of
from vse.tools import experiment
from vse.tools.experiment import main
from vse.tools.options import ExperimentOptions
from vse.tools.plans import read_plan, tasks_of

PLAN = """
seeds = [0, 1]
flags = "--embed_size 16 --word_dim 8 --batch_size 16 --learning_rate 0.005"
warm_start = "--loss sum_hinge --num_epochs 1"
train = "--num_epochs 2"
[networks]
"VSE++" = "VSEpp_LSEH/train.py"
[data]
small = "--data_path $SMALL --data_name small"
[objectives]
LMH = "--loss lmh"
InfoNCE = "--loss infonce"
"""


def run_forked(command: Sequence[str], log: Path, threads: int) -> None:
    """Run a script in a process forked from this one, which has everything imported already."""
    script = Path(command[0])
    for module in (f"{script.parent.name}.{script.stem}", "vse.training.loop", "vse.evaluation.script"):
        importlib.import_module(module)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
            sys.argv = list(command)
            runpy.run_path(command[0], run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise InputError(log.read_text().splitlines()[-1])


@pytest.fixture
def plan(tmp_path: Path, data_root: Path, monkeypatch) -> Path:
    (tmp_path / "plan.toml").write_text(PLAN)
    monkeypatch.setenv("SMALL", str(data_root))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "_run", run_forked)
    return tmp_path / "plan.toml"


def table(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "report" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        tuple(row[name] for name in ("run", "r1", "rsum", "rsum sd", "best epoch", "seeds") if name in row)
        for row in rows
    ]


def test_a_plan_killed_in_the_middle_ends_in_the_same_table(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="whole"))
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            main(ExperimentOptions(str(plan), out="broken"))
        finally:
            os._exit(0)
    end = time.monotonic() + 120
    while not list((tmp_path / "broken").glob("*lmh*/test.json")) and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.3)  # into the next training
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(list((tmp_path / "broken").glob("*/test.json"))) < 4
    main(ExperimentOptions(str(plan), out="broken"))
    assert table(tmp_path / "broken") == table(tmp_path / "whole")
    assert [row[0] for row in table(tmp_path / "whole")] == ["LMH", "InfoNCE"]

    rows = rows_of(find_evaluations(["broken"]))  # `compare` finds the same rows by the records alone
    assert sorted((row.name.split("loss=")[1].split()[0], len(row.results)) for row in rows) == [
        ("infonce", 2),
        ("max_hinge", 2),
    ]
    record = json.loads(next((tmp_path / "broken").glob("*infonce*seed_1/run.json")).read_text())
    assert record["started_from"]["record"]["options"]["loss"] == "sum_hinge"
    assert record["selected_on"] == "dev"


ON_FLICKR8K = [path for path in sorted((ROOT / "benchmarks" / "plans").glob("*.toml")) if "$F8K" in path.read_text()]


@pytest.mark.parametrize("path", ON_FLICKR8K, ids=lambda path: path.stem)
def test_the_scripts_accept_the_plans_of_this_repository(path: Path, tmp_path: Path, monkeypatch) -> None:
    for name in re.findall(r"\$([A-Z0-9]+)", path.read_text()):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    tasks = tasks_of(read_plan(path))
    for task in tasks[: len(tasks) // len(read_plan(path).seeds)]:
        if task.train:  # refused for its data, not for its options
            with pytest.raises(InputError, match=r"nowhere: no such folder"):
                run_forked(task.train, tmp_path / "log", 1)
        if task.evaluate:
            task.folder.mkdir(parents=True, exist_ok=True)
            with pytest.raises(InputError, match=r"model_best\.pth\.tar: no such checkpoint"):
                run_forked(task.evaluate, tmp_path / "log", 1)


def test_a_misspelt_flag_is_refused_before_the_first_run(plan: Path, tmp_path: Path, capsys) -> None:
    plan.write_text(plan.read_text().replace('"--loss infonce', '"--los infonce'))
    with pytest.raises(InputError, match=r"InfoNCE, seed 0: its script does not take the flags .*--los infonce"):
        main(ExperimentOptions(str(plan), out="never"))
    assert "VSEpp_LSEH/train.py --help" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()
