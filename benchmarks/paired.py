"""Differences of an experiment's rows in any metric, paired by seed, with 95 % intervals; optionally as a plot.

    python benchmarks/paired.py runs/semantic_margin/report/seeds.csv --against 0 --metric graded_spearman
    python benchmarks/paired.py runs/semantic_margin/report/seeds.csv --against 0 --metric rsum --plot FILE.svg

`python -m vse experiment` writes the file that it reads. Intervals and p are those of a paired t-test over seeds; p is
corrected for the number of rows (Holm). They are about other runs, not about other images and captions.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from scipy import stats
from tabulate import tabulate

from vse.errors import InputError
from vse.evaluation.significance import holm, seeds_p
from vse.exits import run_to_end


class Change(NamedTuple):
    """How a row differs from the one that it is compared with."""

    name: str
    values: list[float]  # of the row, one for each seed
    changes: list[float]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean change over seeds."""
        error = stats.sem(self.changes)
        if error == 0:
            return self.changes[0], self.changes[0]
        low, high = stats.t.interval(0.95, len(self.changes) - 1, loc=mean(self.changes), scale=error)
        return float(low), float(high)


def read(file: Path, metric: str, data: str | None) -> dict[str, dict[str, float]]:
    """Read the values of a metric on a data set by row and seed.

    Raises:
        InputError: the file has other columns, no row of the data set or several data sets; or a value is no number, or
            is there twice.
    """
    with file.open(newline="", encoding="utf-8") as content:
        reader = csv.DictReader(content)
        lines, columns = list(reader), list(reader.fieldnames or ())
    if not lines or not {"data", "run", "seed"} <= set(columns):
        raise InputError(f"{file}: no rows of runs; expected seeds.csv of an experiment's report")
    if metric not in columns:
        raise InputError(f"--metric {metric}: expected a column of {file}: {', '.join(columns)}")
    known = list(dict.fromkeys(line["data"] for line in lines))
    if data is None and len(known) > 1:
        raise InputError(f"{file}: runs on {', '.join(known)}; choose one of these data sets with --data")
    data = known[0] if data is None else data
    if data not in known:
        raise InputError(f"--data {data}: expected a data set of {file}: {', '.join(known)}")
    table: dict[str, dict[str, float]] = {}
    for line in lines:
        if line["data"] == data:
            where, seeds = f"{file}: {metric} of {line['run']}, seed {line['seed']},", table.setdefault(line["run"], {})
            if line["seed"] in seeds:
                raise InputError(f"{where} is there twice; expected a line for each run and seed")
            seeds[line["seed"]] = _number(line[metric], where)
    return table


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where} is {text!r}; expected a number: evaluate the run again, or choose another --metric")
    return value


def compare(table: dict[str, dict[str, float]], against: str) -> list[Change]:
    """Subtract the values of a row from those of all others, seed by seed.

    Raises:
        InputError: there is no such row, it has one seed, or the rows have different seeds.
    """
    if against not in table:
        raise InputError(f"--against {against}: expected a row: {', '.join(table)}")
    base = table[against]
    if len(base) < 2:
        raise InputError(f"--against {against}: has one seed; expected at least two, for an interval")
    changes = []
    for name, row in table.items():
        if name == against:
            continue
        if set(row) != set(base):
            raise InputError(f"{name} has the seeds {', '.join(row)}, {against} has {', '.join(base)}; finish the runs")
        changes.append(Change(name, list(row.values()), [row[seed] - base[seed] for seed in row]))
    return changes


def plot(changes: list[Change], metric: str, against: str, file: Path) -> None:
    """Draw the mean change of every row with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.3 * len(changes)), layout="constrained")
    axes = figure.subplots()
    for place, change in enumerate(changes):
        low, high = change.interval
        axes.plot((low, high), (place, place), color="#0072B2", linewidth=2)
        axes.plot(mean(change.changes), place, "o", color="#D55E00")
    axes.axvline(0, color="black", linewidth=0.7)
    axes.set_yticks(range(len(changes)), [change.name for change in changes])
    axes.invert_yaxis()
    axes.set_xlabel(f"{metric} less that of {against}: mean and 95 % interval over seeds")
    figure.savefig(file)


def main() -> None:
    """Print the table and draw the plot."""
    parser = argparse.ArgumentParser(description="Differences of an experiment's rows, paired by seed.")
    parser.add_argument("file", type=Path, help="seeds.csv of an experiment's report")
    parser.add_argument("--against", required=True, help="row that the others are compared with")
    parser.add_argument("--data", help="data set, if the experiment has several")
    parser.add_argument("--metric", default="rsum", help="column of the file")
    parser.add_argument("--plot", type=Path, help="file of a plot, .svg or .png")
    given = parser.parse_args()
    if given.plot is not None and given.plot.suffix not in (".svg", ".png"):
        raise InputError(f"--plot {given.plot}: expected the name of an .svg or .png file")
    if given.plot is not None and not given.plot.parent.is_dir():
        raise InputError(f"--plot {given.plot}: {given.plot.parent} is no folder; make it")
    table = read(given.file, given.metric, given.data)
    changes = compare(table, given.against)
    corrected = holm([seeds_p(change.changes) for change in changes])
    digits = 1 if abs(mean(table[given.against].values())) >= 10 else 3
    rows = [[given.against, f"{mean(table[given.against].values()):.{digits}f}", "", "", ""]]
    for change, p in zip(changes, corrected, strict=True):
        low, high = change.interval
        rows.append(
            [
                change.name,
                f"{mean(change.values):.{digits}f}",
                f"{mean(change.changes):+.{digits}f}",
                f"{low:+.{digits}f} to {high:+.{digits}f}",
                "" if p is None else f"{p:.3f}",
            ]
        )
    heads = ["run", given.metric, "difference", "95 %, seeds", "p, Holm"]
    print(tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True))
    if given.plot is not None:
        plot(changes, given.metric, given.against, given.plot)


if __name__ == "__main__":
    run_to_end(main)
