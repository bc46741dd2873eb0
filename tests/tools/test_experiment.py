"""Experiments end to end, on scripts that take part as the networks' do but learn nothing and start at once."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from vse.errors import InputError
from vse.tools import experiment, experiment_report
from vse.tools.experiment import main, run_tasks, state_of
from vse.tools.options import ExperimentOptions
from vse.tools.plans import Task, read_plan, tasks_of
from vse.training import locks

TRAIN = r"""
import json, os, sys, time
from pathlib import Path

def flag(name, default=None):
    places = [i for i, word in enumerate(sys.argv) if word == name]
    return sys.argv[places[-1] + 1] if places else default

folder, seed, epochs = Path(flag("--logger_name")), int(flag("--seed")), int(flag("--num_epochs", "3"))
loss = flag("--loss")
if loss == "broken":
    print("some words")
    sys.exit("error: this objective does not exist")
with (folder / "spans").open("a") as file:
    file.write(f"{os.environ['OMP_NUM_THREADS']} {time.monotonic()}")
state = folder / "checkpoint.pth.tar"
done = json.loads(state.read_text()) if state.exists() else []
for epoch in range(len(done) + 1, epochs + 1):
    time.sleep(float(os.environ.get("EPOCH_SECONDS", "0.01")))
    start = json.loads(Path(flag("--init_model")).read_text())[-1] if flag("--init_model") else 0
    done.append(start + 10 * epoch + seed + {"lmh": 0, "hal": 30, "sum_hinge": 5}[loss])
    for name in ("checkpoint.pth.tar", "model_best.pth.tar"):
        (folder / f"{name}.new").write_text(json.dumps(done))
        (folder / f"{name}.new").replace(folder / name)
recalls = dict.fromkeys(("r1", "r5", "r10", "r1i", "r5i", "r10i"), 1.0)
rows = [{"kind": "dev", "step": e, "epoch": e, "ends_epoch": True, "rsum": v, **recalls} for e, v in enumerate(done, 1)]
(folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
record = {
    "network": "Stand-in", "options": {"loss": loss, "seed": seed}, "seed": seed, "ended": "now", "started_from": None,
    "environment": {"command": ["python", *sys.argv], "commit": "c" * 40, "dirty": False, "host": "here",
                    "device_name": "none"},
    "best_epoch": len(done), "selected_by": "rsum", "cpu_seconds": time.process_time(), "wall_seconds": 1.0,
    "peak_memory_mb": 100.0,
}
(folder / "run.json").write_text(json.dumps(record))
with (folder / "spans").open("a") as file:
    file.write(f" {time.monotonic()}\n")
"""

EVALUATION = r"""
import json, sys
from pathlib import Path

def flag(name):
    return sys.argv[sys.argv.index(name) + 1]

models = [flag("--model_path"), *(sys.argv[sys.argv.index("--ensemble") + 1 :] if "--ensemble" in sys.argv else [])]
values = [json.loads(Path(model).read_text())[-1] for model in models]
rsum = sum(values) / len(values)
if flag("--model_path").endswith("checkpoint.pth.tar"):
    rsum += {1: 50}.get(len(json.loads(Path(models[0]).read_text())), 0)  # the first epoch is the best on test
hit = ["0" if 10 * i < rsum else "19" for i in range(20)]
metrics = {name: rsum / 6 for name in ("r1", "r5", "r10", "r1i", "r5i", "r10i")} | {"rsum": rsum}
ranks = {"image_to_text": " ".join(hit), "text_to_image": " ".join(hit), "caption_image": " ".join(map(str, range(20)))}
data = {"name": "test", "images": 20, "captions": 20, "captions_sha256": "a", "caption_image_sha256": "b"}
records = [json.loads((Path(model).parent / "run.json").read_text()) for model in models]
record = {"models": [{"record": r} for r in records], "data": data, "protocol": {},
          "environment": {"command": ["python", *sys.argv]}}
Path(flag("--json")).write_text(json.dumps(metrics | {"ranks": ranks, "record": record}))
"""


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


def add(plan: Path, line: str) -> None:
    plan.write_text(f"{line}\n{plan.read_text()}")


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of an experiment's table without what depends on the machine."""
    with (folder / "report" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    machine = {"CPU s", "s", "MB", "CPU s sd", "s sd", "MB sd"}
    return [{name: value for name, value in row.items() if name not in machine} for row in rows]


def test_a_plan_ends_in_a_table_of_its_rows(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    first, second = table(tmp_path / "out")
    # Warm starts end with 3 epochs at 35 + seed, cells with 4 at 40 + seed, and 30 more for HAL.
    assert (first["run"], float(first["rsum"]), float(first["rsum sd"])) == ("LMH", 76.0, pytest.approx(2**0.5))
    assert (second["run"], float(second["rsum"])) == ("HAL | mine", 106.0)
    assert (first["best epoch"], first["within 1 %"], first["seeds"]) == ("4, 4", "4, 4", "0, 1")


def test_every_seed_and_every_epoch_are_kept_as_csv(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    with (tmp_path / "out" / "report" / "seeds.csv").open() as file:
        seeds = [(row["run"], row["seed"], float(row["rsum"])) for row in csv.DictReader(file)]
    assert seeds == [("LMH", "0", 75.0), ("HAL | mine", "0", 105.0), ("LMH", "1", 77.0), ("HAL | mine", "1", 107.0)]
    with (tmp_path / "out" / "report" / "curves.csv").open() as file:
        curve = [float(row["rsum"]) for row in csv.DictReader(file) if (row["run"], row["seed"]) == ("LMH", "0")]
    assert curve == [45.0, 55.0, 65.0, 75.0]


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


def test_every_epoch_on_test_tells_what_that_habit_is_worth(plan: Path, tmp_path: Path) -> None:
    add(plan, "test_every_epoch = true")
    main(ExperimentOptions(str(plan), out="out"))
    first = table(tmp_path / "out")[0]
    # After epoch 1, 45 + 50 and 47 + 50 on test; the last epoch, which dev chose, has 75 and 77.
    assert float(first["rsum"]) == 76.0
    assert float(first["rsum if selected on test"]) == 96.0
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "Selecting on test instead of dev would add 20.0 to rsum on average over 4 runs" in report


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


def test_ensembles_are_rows_of_their_own(plan: Path, tmp_path: Path) -> None:
    add(plan, "ensembles = [[0, 1]]")
    main(ExperimentOptions(str(plan), out="out"))
    rows = {row["run"]: row for row in table(tmp_path / "out")}
    assert float(rows["LMH, mean of seeds 0 and 1"]["rsum"]) == 76.0
    assert rows["LMH, mean of seeds 0 and 1"]["seeds"] == "0+1"
    assert "LMH, mean" not in differences_of(tmp_path / "out")


def test_an_ensemble_of_new_models_is_evaluated_anew(plan: Path, tmp_path: Path) -> None:
    add(plan, "ensembles = [[0, 1]]")
    main(ExperimentOptions(str(plan), out="out"))
    together = tmp_path / "out" / "demo__net__lmh__seed_0_1" / "test.json"
    together.write_text(together.read_text().replace('"rsum": 76', '"rsum": 11'))
    (tmp_path / "out" / "demo__net__lmh__seed_0" / "test.json").unlink()
    main(ExperimentOptions(str(plan), out="out"))
    assert json.loads(together.read_text())["rsum"] == 76.0


def differences_of(folder: Path) -> str:
    return (folder / "report" / "report.md").read_text().split("less that of")[1].split("\n\n")[0]


def test_the_report_has_differences_to_the_first_row(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    assert "HAL" in differences_of(tmp_path / "out")
    assert "+30.0 ± 0.0" in differences_of(tmp_path / "out")
    add(plan, 'against = "HAL | mine"')
    main(ExperimentOptions(str(plan), out="out", report=True))
    assert "-30.0 ± 0.0" in differences_of(tmp_path / "out")


def test_an_unfinished_plan_reports_what_is_there(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    (tmp_path / "out" / "demo__net__hal_mine__seed_1" / "test.json").unlink()
    main(ExperimentOptions(str(plan), out="out", report=True))
    assert [row["seeds"] for row in table(tmp_path / "out")] == ["0, 1", "0"]
    assert not (tmp_path / "out" / "demo__net__hal_mine__seed_1" / "test.json").exists()


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [str(value) for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_needs_no_other_file(plan_with_plots: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan_with_plots), out="out"))
    text = (tmp_path / "out" / "report" / "report.html").read_text()
    links = Links()
    links.feed(text)
    assert not links.open
    pictures = [source for source in links.sources if not source.startswith("#")]
    assert len(pictures) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in pictures)
    assert "<title>A &amp; &lt;b&gt;</title>" in text
    assert "<b>" not in text
    assert re.search(r"<td>76\.0 ± 1\.4</td>", text)


def test_plots_are_png_and_svg_and_the_same_each_time(plan_with_plots: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan_with_plots), out="out"))
    folder = tmp_path / "out" / "report"
    names = {f"{name}_demo.{kind}" for name in ("curves", "points") for kind in ("png", "svg")}
    assert names == {path.name for path in folder.iterdir() if path.suffix in (".png", ".svg")}
    before = {name: (folder / name).read_bytes() for name in names}
    main(ExperimentOptions(str(plan_with_plots), out="out", report=True))
    assert {name: (folder / name).read_bytes() for name in names} == before


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


def test_a_report_leaves_out_what_other_commands_made(plan: Path, tmp_path: Path, capsys) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    plan.write_text(plan.read_text().replace('LMH = "--loss lmh"', 'LMH = "--loss lmh --margin 0.5"'))
    main(ExperimentOptions(str(plan), out="out", report=True))
    assert [row["run"] for row in table(tmp_path / "out")] == ["HAL | mine"]
    assert "lmh__seed_0: made by other commands than this plan's" in capsys.readouterr().err


def test_a_report_leaves_out_other_evaluations(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    add(plan, 'evaluate = "--split dev"')
    with pytest.raises(InputError, match="no run is finished"):
        main(ExperimentOptions(str(plan), out="out", report=True))


def test_a_report_can_be_made_where_the_runs_were_moved_to(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    before = table(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    main(ExperimentOptions(str(plan), out="elsewhere", report=True))
    assert table(tmp_path / "elsewhere") == before


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


def test_runs_are_submitted_as_jobs(plan: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    plan.write_text(plan.read_text().replace("seeds = [0, 1]", "seeds = [0]") + "[cluster]\ntimeout_min = 5\n")
    main(ExperimentOptions(str(plan), out="out", cluster="local", jobs=2))
    assert [float(row["rsum"]) for row in table(tmp_path / "out")] == [75.0, 105.0]
    assert list((tmp_path / "out" / "cluster").iterdir())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ('slurm_partitionn = "gpu"', r"\[cluster\] does not fit it \(Unknown argument 'partitionn'"),
        ('timeout_min = "five"', r"\[cluster\] does not fit it \(Parameter \"timeout_min\" expected type"),
    ],
)
def test_wrong_parameters_of_a_cluster_are_one_sentence(plan: Path, parameters: str, words: str) -> None:
    pytest.importorskip("submitit")
    plan.write_text(f"{plan.read_text()}[cluster]\n{parameters}\n")
    with pytest.raises(InputError, match=words) as refused:
        main(ExperimentOptions(str(plan), out="out", cluster="local"))
    assert "\n" not in str(refused.value)


def test_slurm_where_there_is_none_is_one_sentence(plan: Path, monkeypatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="--cluster slurm: cannot submit jobs from here"):
        main(ExperimentOptions(str(plan), out="out", cluster="slurm"))
