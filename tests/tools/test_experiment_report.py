"""The report of an experiment: what is finished is told, what is not is named."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from vse.errors import InputError
from vse.tools import experiment_report
from vse.tools.experiment_report import write_report
from vse.tools.plans import Plan, Task

RECALLS = ("r1", "r5", "r10", "r1i", "r5i", "r10i")


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_report, "_draw", lambda *_: iter(()))  # plots take a second


def plan_of(tmp_path: Path, **settings: object) -> Plan:
    return Plan("a title", tmp_path / "out", (0, 1), {"net": "train.py"}, {"LMH": ""}, **settings)  # type: ignore[arg-type]


def task(plan: Plan, row: str, seed: int, data: str = "demo") -> Task:
    folder = plan.folder / f"{data} {row} {seed}"
    return Task(f"{data}, {row}, seed {seed}", folder, ("train.py", "a b"), ("evaluation.py",), (), row, data, (seed,))


def finish(done: Task, rsum: float, dev: Sequence[float] = (50.0, 99.5, 100.0)) -> Task:
    """Write what the training and the evaluation of a task leave behind."""
    done.folder.mkdir(parents=True)
    command = ["python", *done.train]
    made = {"command": command, "commit": "c" * 40, "dirty": True, "host": "here", "device_name": "none"}
    spent = {"cpu_seconds": 5.0, "wall_seconds": 6.0, "peak_memory_mb": 7.0}
    record = {"selected_by": "rsum", "best_epoch": 3, "environment": made, "options": {"seed": done.seeds[0]}, **spent}
    (done.folder / "run.json").write_text(json.dumps(record))
    rows = [
        {"kind": "dev", "ends_epoch": True, "epoch": epoch, "rsum": value, **dict.fromkeys(RECALLS, 1.0)}
        for epoch, value in enumerate(dev, 1)
    ]
    rows.append({**rows[0], "ends_epoch": False, "rsum": 200.0})
    (done.folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    data = {"name": "test", "images": 2, "captions": 2, "captions_sha256": done.data, "caption_image_sha256": "b"}
    ranks = {"image_to_text": "0 1", "text_to_image": "0 1", "caption_image": "0 1"}
    evaluated = {"command": ["python", *done.evaluate]}
    evaluation = {"models": [{"record": record}], "data": data, "protocol": {}, "environment": evaluated}
    metrics = {"rsum": rsum, **dict.fromkeys(RECALLS, rsum / 6)}
    done.result.write_text(json.dumps({**metrics, "ranks": ranks, "record": evaluation}))
    return done


def table(plan: Plan) -> list[dict[str, str]]:
    with (plan.folder / "report" / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_plan_without_a_result_is_refused_untouched(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with pytest.raises(InputError, match="no run is finished; run the plan first"):
        write_report(plan, [task(plan, "LMH", 0)])
    assert not plan.folder.exists()


def test_within_one_percent_is_the_first_epoch_that_near(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    write_report(plan, [finish(task(plan, "LMH", 0), 60.0)])
    assert (table(plan)[0]["within 1 %"], table(plan)[0]["best epoch"]) == ("2", "3")


def test_models_from_the_warm_up_are_pointed_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    warm, other = (finish(task(plan, "LMH", seed), 60.0) for seed in (0, 1))
    for done, warmup in ((warm, 3.0), (other, 2.0)):
        record = json.loads((done.folder / "run.json").read_text())
        record["options"]["warmup_epochs"] = warmup
        (done.folder / "run.json").write_text(json.dumps(record))
    write_report(plan, [warm, other])
    note = "Best models from the warm-up, before the objective began: demo, LMH, seed 0.\n"
    assert note in (plan.folder / "report" / "report.md").read_text()


def test_seeds_come_in_their_order_whatever_finished_first(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    write_report(plan, [finish(task(plan, "LMH", seed), 60.0 + seed) for seed in (1, 0)])
    (row,) = table(plan)
    assert (row["seeds"], float(row["rsum"])) == ("0, 1", 60.5)


def test_a_damaged_result_is_told_and_counts_as_unfinished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(tmp_path)
    tasks = [finish(task(plan, "LMH", seed), 60.0) for seed in (0, 1)]
    tasks[1].result.write_text("{")
    write_report(plan, tasks)
    assert "test.json: not JSON" in capsys.readouterr().err
    assert "Not finished: demo, LMH, seed 1." in (plan.folder / "report" / "report.md").read_text()


def test_of_many_unfinished_runs_ten_are_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    write_report(plan, [finish(task(plan, "LMH", 0), 60.0), *(task(plan, "LMH", seed) for seed in range(1, 14))])
    notes = (plan.folder / "report" / "report.md").read_text()
    assert "seed 10 and 3 more." in notes
    assert "seed 11" not in notes


def test_data_sets_have_sections_of_their_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    page = write_report(plan, [finish(task(plan, "LMH", 0, data), 60.0) for data in ("first", "second")])
    assert [row["data"] for row in table(plan)] == ["first", "second"]
    assert page.read_text().count('<h2 id="data') == 2
    assert "python train.py &#39;a b&#39;" in page.read_text()


@pytest.mark.parametrize("damage", ["rsum", "epoch"])
def test_a_damaged_log_is_named(tmp_path: Path, damage: str) -> None:
    plan = plan_of(tmp_path)
    done = finish(task(plan, "LMH", 0), 300.0)
    log = done.folder / "metrics.jsonl"
    log.write_text(log.read_text().replace(f'"{damage}"', '"x"'))
    with pytest.raises(InputError, match=rf"metrics\.jsonl: {damage} of an epoch is None; expected a number"):
        write_report(plan, [done])


@pytest.mark.parametrize("rsum", [None, "high", [1]])
def test_a_result_without_numbers_is_left_out(tmp_path: Path, rsum: object, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(tmp_path)
    tasks = [finish(task(plan, "LMH", seed), 300.0) for seed in (0, 1)]
    content = json.loads(tasks[1].result.read_text())
    tasks[1].result.write_text(json.dumps({**content, "rsum": rsum}))
    write_report(plan, tasks)
    assert table(plan)[0]["seeds"] == "0"
    assert "test.json: rsum is" in capsys.readouterr().err
