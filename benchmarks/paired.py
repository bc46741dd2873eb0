"""Differences of an experiment's rows in any metric, paired by seed, with 95 % intervals; optionally as a plot.

    python benchmarks/paired.py runs/semantic_margin/report/seeds.csv --against 0 --metric graded_spearman
    python benchmarks/paired.py runs/semantic_margin/report/seeds.csv --against 0 --metric rsum --plot FILE.svg

`python -m vse experiment` writes the file that it reads. Intervals and p are those of a paired t-test over seeds; p is
corrected for the number of rows (Holm). They are about other runs, not about other images and captions.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from scipy import stats
from tabulate import tabulate

from vse.evaluation.significance import holm, seeds_p


class Change(NamedTuple):
    """How a row differs from the one that it is compared with."""

    name: str
    values: list[float]  # of the row, one for each seed
    changes: list[float]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean change over seeds."""
        error = stats.sem(self.changes)
        low, high = stats.t.interval(0.95, len(self.changes) - 1, loc=mean(self.changes), scale=error)
        return float(low), float(high)


def read(file: Path, metric: str, data: str | None) -> dict[str, dict[str, float]]:
    """Read the values of a metric on a data set by row and seed."""
    with file.open(newline="", encoding="utf-8") as content:
        lines = list(csv.DictReader(content))
    known = sorted({line["data"] for line in lines})
    if data is None and len(known) == 1:
        data = known[0]
    if data not in known:
        raise SystemExit(f"error: {file} has the data sets {', '.join(known)}; choose one with --data")
    table: dict[str, dict[str, float]] = {}
    for line in lines:
        if line["data"] == data:
            table.setdefault(line["run"], {})[line["seed"]] = float(line[metric])
    return table


def compare(table: dict[str, dict[str, float]], against: str) -> list[Change]:
    """Subtract the values of a row from those of all others, seed by seed; all must have the same seeds."""
    base = table[against]
    changes = []
    for name, row in table.items():
        if name == against:
            continue
        if set(row) != set(base) or len(row) < 2:
            raise SystemExit(f"error: {name} has seeds {', '.join(row)}, {against} has {', '.join(base)}")
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
    main()
