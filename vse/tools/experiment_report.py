"""The report of an experiment: tables, learning curves, points of every seed, and a page that holds them."""

from __future__ import annotations

import base64
import importlib.util
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from vse.console import warn
from vse.errors import InputError
from vse.evaluation.comparison import (
    DIFFERENCES_NOTE,
    Row,
    chosen_in_warmup,
    differences,
    differences_cells,
    refuse_unlike,
)
from vse.evaluation.reports import Evaluation, load_evaluation
from vse.evaluation.significance import METRICS
from vse.evaluation.tables import Cell, format_table, plain_markdown, spread
from vse.files import read_json_lines, write_atomically
from vse.tools.experiment_page import PAGE
from vse.tools.pages import save_page
from vse.tools.plans import Plan, Task, slug, without_places
from vse.tools.plots import draw_curves, draw_points
from vse.training.record import read_record

HEADS = {
    "r1": "i2t R@1",
    "r5": "i2t R@5",
    "r10": "i2t R@10",
    "r1i": "t2i R@1",
    "r5i": "t2i R@5",
    "r10i": "t2i R@10",
    "hub_skewness": "skewness, captions",
    "hub_skewnessi": "skewness, images",
    "graded_spearman": "graded Spearman",
    "graded_ndcg": "graded nDCG, captions",
    "graded_ndcgi": "graded nDCG, images",
    "antihubs": "never found, captions %",
    "antihubsi": "never found, images %",
}
"""Metric -> head of its column, where it is another."""

DIGITS = dict.fromkeys(("hub_skewness", "hub_skewnessi", "meanr", "meanri"), 2) | dict.fromkeys(
    ("graded_spearman", "graded_ndcg", "graded_ndcgi"), 3
)
"""Metric -> digits after the point, where it is not one."""

SELECTIONS = {"rsum": ("r1", "r5", "r10", "r1i", "r5i", "r10i"), "R@1+R@5": ("r1", "r5", "r1i", "r5i")}
"""Name of a selection score -> the metrics that it adds up."""


class Figure(NamedTuple):
    """A plot, written as PNG and SVG."""

    title: str
    name: str  # of its files, without their ends
    svg: bytes

    @property
    def source(self) -> str:
        """What an `<img src="...">` says to show it."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode('ascii')}"


@dataclass
class Result:
    """A finished task."""

    task: Task
    evaluation: Evaluation
    record: dict[str, Any]  # of the training of its (first) model
    curve: list[dict[str, Any]] = field(default_factory=list)  # dev rows that end an epoch
    on_test: list[dict[str, Any]] = field(default_factory=list)  # metrics on test after each epoch


@dataclass
class Section:
    """Part of the report on one data set."""

    data: str
    heads: list[str]
    cells: list[list[Cell]]
    difference_heads: list[str] = field(default_factory=list)
    difference_cells: list[list[Cell]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def write_report(plan: Plan, tasks: Sequence[Task]) -> Path:
    """Write tables, plots, report.md and report.html into the plan's `report` folder; return the page.

    Raises:
        InputError: no run is finished, or results are unlike.
    """
    results = list(_finished(tasks))
    if not results:
        raise InputError(f"{plan.folder}: no run is finished; run the plan first")
    missing = [task.name for task in tasks if task.row and not any(result.task is task for result in results)]
    folder = plan.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for data in dict.fromkeys(result.task.data for result in results):
        rows = _by_row([result for result in results if result.task.data == data])
        sections.append(_section(plan, data, rows))
        if importlib.util.find_spec("matplotlib") is not None:
            sections[-1].figures = list(_draw(plan, data, rows, folder))
    notes = list(_notes(plan, results, missing))
    _write_text(folder / "report.md", _markdown(plan, sections, notes))
    _write_text(folder / "table.csv", _csv(sections))
    _write_text(folder / "seeds.csv", _seeds(plan, results))
    _write_text(folder / "curves.csv", _curves(results))
    commands = [
        shlex.join(["python", *command]) for task in tasks for command in (task.train, task.evaluate) if command
    ]
    page = folder / "report.html"
    explained = DIFFERENCES_NOTE if any(section.difference_cells for section in sections) else ""
    values = {"notes": notes, "commands": commands, "differences_note": explained}
    anchors = [(f"data{number}", section.data) for number, section in enumerate(sections)]
    save_page(page, PAGE, title=plan.title, parts=sections, sections=[*anchors, ("commands", "Commands")], **values)
    return page


def _finished(tasks: Sequence[Task]) -> Iterator[Result]:
    for task in tasks:
        if not task.row:
            continue
        try:
            evaluation = load_evaluation(task.result)
        except InputError as problem:
            if task.result.exists():
                warn(str(problem))
            continue
        record = evaluation.record["models"][0]["record"] if not task.train else read_record(task.folder / "run.json")
        made = [(task.evaluate, evaluation.record), *([(task.train, record)] if task.train else [])]
        if not all(_is_made_by(command, content) for command, content in made):
            warn(f"{task.folder}: made by other commands than this plan's, left out of the report")
            continue
        if not task.train:
            yield Result(task, evaluation, record)
            continue
        yield Result(
            task,
            evaluation,
            record,
            _curve(task.folder / "metrics.jsonl"),
            [load_evaluation(path).metrics for path in sorted(task.folder.glob("test_after_epoch_*.metrics"))],
        )


def _is_made_by(command: Sequence[str], record: Mapping[str, Any]) -> bool:
    """Whether a record is of this command, wherever its files lay."""
    return without_places(record["environment"]["command"][2:]) == without_places(command[1:])


def _curve(path: Path) -> list[dict[str, Any]]:
    """Read the metrics on dev after each epoch from a run's log, if there is one."""
    rows = read_json_lines(path) if path.exists() else []
    curve = [row for row in rows if row.get("kind") == "dev" and row.get("ends_epoch")]
    for row in curve:
        for name in ("epoch", *METRICS):
            if not isinstance(row.get(name), (int, float)):
                raise InputError(f"{path}: {name} of an epoch is {row.get(name)}; expected a number, remove that line")
    return curve


def _by_row(results: Sequence[Result]) -> dict[str, list[Result]]:
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.task.row, []).append(result)
    # Ensembles come after the rows that they are of; each row's seeds come in their order.
    return {name: sorted(rows[name], key=lambda result: result.task.seeds) for name in rows}


def _section(plan: Plan, data: str, rows: Mapping[str, Sequence[Result]]) -> Section:
    refuse_unlike([result.evaluation for members in rows.values() for result in members])
    on_test = plan.test_every_epoch
    heads = ["run", *(HEADS.get(name, name) for name in plan.columns)]
    heads += ["rsum if selected on test"] if on_test else []
    heads += ["best epoch", "within 1 %", "CPU s", "s", "MB", "seeds"]
    cells = [_cells(plan, name, members, on_test) for name, members in rows.items()]
    section = Section(data, heads, cells)
    compared = [
        Row({}, {result.task.seeds: result.evaluation for result in members}, name)
        for name, members in rows.items()
        if members[0].task.train
    ]
    against = next((row for row in compared if row.name == plan.against), None)
    if against is None:  # not finished yet
        return section
    together = [row for row in compared if row is against or row.results.keys() & against.results.keys()]
    if len(together) > 1:
        found = differences(together, against, plan.metric)
        section.difference_heads, section.difference_cells = differences_cells(found, plan.metric, against.name)
    return section


def _draw(plan: Plan, data: str, rows: Mapping[str, Sequence[Result]], folder: Path) -> Iterator[Figure]:
    trained = {name: members for name, members in rows.items() if members[0].task.train}
    curves = {
        name: [[(row["epoch"], row[plan.metric]) for row in result.curve] for result in members if result.curve]
        for name, members in trained.items()
    }
    curves = {name: seeds for name, seeds in curves.items() if seeds}
    points = {name: [float(r.evaluation.metrics[plan.metric]) for r in members] for name, members in rows.items()}
    metric = HEADS.get(plan.metric, plan.metric)
    if curves:
        name = f"curves_{slug(data)}"
        yield Figure(f"{metric} on dev", name, draw_curves(folder / name, curves, f"{metric} on dev"))
    split = next(iter(rows.values()))[0].evaluation.record["data"]["name"]
    name = f"points_{slug(data)}"
    title = f"{metric} on {split}, a point for each seed"
    yield Figure(title, name, draw_points(folder / name, points, f"{metric} on {split}"))


def _cells(plan: Plan, name: str, members: Sequence[Result], on_test: bool) -> list[Cell]:
    cells: list[Cell] = [name]
    for column in plan.columns:
        values = [result.evaluation.metrics.get(column) for result in members]
        known = [float(value) for value in values if value is not None]
        cells.append(spread(known, DIGITS.get(column, 1)) if len(known) == len(values) else "")
    if on_test:
        chosen = [value for result in members if (value := _if_selected_on_test(result)) is not None]
        cells.append(spread(chosen) if len(chosen) == len(members) else "")
    seeds = ", ".join("+".join(map(str, result.task.seeds)) for result in members)
    if not members[0].task.train:
        return [*cells, "", "", "", "", "", seeds]
    epochs = [f"{result.record['best_epoch']}" for result in members]
    used = [[float(result.record[key]) for result in members] for key in ("cpu_seconds", "wall_seconds")]
    memory = [float(result.record["peak_memory_mb"]) for result in members]
    near = [str(_near_the_best(result.curve, plan.metric)) for result in members]
    measured = [spread(values, 0) for values in (*used, memory)]
    return [*cells, ", ".join(epochs), ", ".join(near), *measured, seeds]


def _near_the_best(curve: Sequence[Mapping[str, Any]], metric: str) -> int | str:
    """Find the first epoch that came within 1 % of the best on dev."""
    most = max((row[metric] for row in curve), default=0.0)
    return next((row["epoch"] for row in curve if row[metric] >= 0.99 * most), "")


def _if_selected_on_test(result: Result) -> float | None:
    """Test rsum of the epoch that scores best on test, by the score that chose on dev."""
    parts = SELECTIONS.get(result.record["selected_by"])
    if parts is None or not result.on_test:
        return None
    best = max(result.on_test, key=lambda metrics: sum(metrics[part] for part in parts))
    return float(best["rsum"])


def _notes(plan: Plan, results: Sequence[Result], missing: Sequence[str]) -> Iterator[str]:
    trained = [result for result in results if result.task.train]
    chosen = sorted({result.record["selected_by"] for result in trained})
    yield (
        f"Mean ± sample deviation over seeds, on the {results[0].evaluation.record['data']['name']} split. Each run's "
        f"model is the best of its run on dev by {' or '.join(chosen)}. within 1 %: the first epoch after which "
        f"{plan.metric} on dev is that near to its highest. s and CPU s: seconds of training; MB: peak memory."
    )
    if plan.test_every_epoch:
        pairs = [(value, float(r.evaluation.metrics["rsum"])) for r in trained if (value := _if_selected_on_test(r))]
        if pairs:
            gain = mean(test - dev for test, dev in pairs)
            yield (
                f"Selecting on test instead of dev would add {gain:.1f} to rsum on average over {len(pairs)} runs; "
                "such numbers cannot be compared with these."
            )
    warming = [result.task.name for result in trained if chosen_in_warmup(result.record)]
    if warming:
        yield f"Best models from the warm-up, before the objective began: {_first_ten(warming)}."
    if missing:
        yield f"Not finished: {_first_ten(missing)}."
    versions = {
        f"{str(made['commit'])[:12]}{' with changes' if made['dirty'] else ''} on {made['host']}, {made['device_name']}"
        for made in (result.record["environment"] for result in trained)
    }
    yield f"Trained by {'; '.join(sorted(versions))}."


def _first_ten(names: Sequence[str]) -> str:
    return "; ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _markdown(plan: Plan, sections: Sequence[Section], notes: Sequence[str]) -> str:
    parts = [f"# {plain_markdown(plan.title)}"]
    for section in sections:
        parts += [f"## {plain_markdown(section.data)}"] if len(sections) > 1 else []
        parts.append(format_table(section.heads, section.cells, "markdown"))
        if section.difference_cells:
            parts.append(format_table(section.difference_heads, section.difference_cells, "markdown"))
        parts += [f"![{plain_markdown(figure.title)}]({figure.name}.png)" for figure in section.figures]
    if any(section.difference_cells for section in sections):
        notes = [*notes, DIFFERENCES_NOTE]
    return "\n\n".join([*parts, *notes]) + "\n"


def _csv(sections: Sequence[Section]) -> str:
    rows: list[list[Cell]] = [[section.data, *row] for section in sections for row in section.cells]
    return format_table(["data", *sections[0].heads], rows, "csv") + "\n"


def _seeds(plan: Plan, results: Sequence[Result]) -> str:
    """Write what every seed of every row reached as CSV."""
    rows: list[list[Cell]] = [
        [
            result.task.data,
            result.task.row,
            "+".join(map(str, result.task.seeds)),
            *(str(result.evaluation.metrics.get(column, "")) for column in plan.columns),
            str(result.record["best_epoch"]) if result.task.train else "",
        ]
        for result in results
    ]
    return format_table(["data", "run", "seed", *plan.columns, "best epoch"], rows, "csv") + "\n"


def _curves(results: Sequence[Result]) -> str:
    """Write the recalls on dev after every epoch of every run as CSV."""
    rows: list[list[Cell]] = [
        [
            result.task.data,
            result.task.row,
            str(result.task.seeds[0]),
            str(row["epoch"]),
            *(f"{row[m]}" for m in METRICS),
        ]
        for result in results
        for row in result.curve
    ]
    return format_table(["data", "run", "seed", "epoch", *METRICS], rows, "csv") + "\n"


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))
