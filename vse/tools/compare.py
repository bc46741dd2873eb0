"""`python -m vse compare RESULTS`: evaluations side by side, seeds of one configuration in one row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vse.console import warn
from vse.errors import InputError
from vse.evaluation.comparison import (
    DIFFERENCES_NOTE,
    Row,
    chosen_in_warmup,
    differences,
    differences_cells,
    find_evaluations,
    metrics_cells,
    pick_row,
    rows_of,
    unfinished_runs,
)
from vse.evaluation.row_names import other_differences
from vse.evaluation.tables import Cell, format_table
from vse.tools.options import CompareOptions


def main(options: CompareOptions) -> None:
    """Print the tables.

    Raises:
        InputError: a file is no result, results are unlike, or a seed occurs twice.
    """
    if not options.results:
        raise InputError("no results given; expected files that evaluation scripts write with --json, or their folders")
    rows = rows_of(find_evaluations(options.results, options.fold5))
    heads, cells = metrics_cells(rows, options.format)
    found_heads: list[str] = []
    found_cells: list[list[Cell]] = []
    if options.against is not None:
        against = pick_row(rows, options.against)
        found = differences(rows, against, options.metric)
        found_heads, found_cells = differences_cells(found, options.metric, against.name, options.format)
    if options.format == "markdown":
        print(f"{_title(rows[0], options.fold5)}\n")
    if options.format == "csv":  # one table, which programs read
        blank: list[Cell] = [""] * len(found_heads[1:])
        compared = {name: rest for name, *rest in found_cells}
        heads, cells = [*heads, *found_heads[1:]], [[*row, *compared.get(row[0], blank)] for row in cells]
    print(format_table(heads, cells, options.format))
    others = other_differences(
        [row.configuration for row in rows], [row.chosen for row in rows], [r.name for r in rows]
    )
    if others and options.format == "markdown":
        print(f"\nThe commands of these rows differ in {', '.join(others)} as well.")
    commits = {_version(result.record) for row in rows for result in row.results.values()}
    if len(commits) > 1:
        warn(f"these results were made with {len(commits)} versions of the code: {', '.join(sorted(commits))}")
    warming = [row.name for row in rows if any(map(chosen_in_warmup, row.trainings()))]
    if warming:
        warn(f"models of these rows are from the warm-up, before the objective began: {'; '.join(warming)}")
    unfinished = list(map(str, unfinished_runs(options.results)))
    if unfinished:
        more = f" and {len(unfinished) - 10} more" if len(unfinished) > 10 else ""
        warn(f"runs that have not ended, whose models may still change: {', '.join(unfinished[:10])}{more}")
    if found_cells and options.format != "csv":
        print(f"\n{format_table(found_heads, found_cells, options.format)}")
        if options.format == "markdown":
            print(f"\n{DIFFERENCES_NOTE}")


def _title(row: Row, fold5: bool) -> str:
    """Say what was evaluated; all rows have it in common."""
    data = next(iter(row.results.values())).record["data"]
    folder = data.get("folder")
    name = data["name"] if folder is None else f"{Path(folder).name} {data['name']}"
    protocol = "mean of five folds of" if fold5 else "full split:"
    images, captions = (data[part] // 5 if fold5 else data[part] for part in ("images", "captions"))
    return f"{name}, {protocol} {images} images, {captions} captions"


def _version(record: Mapping[str, Any]) -> str:
    """Commit that the models were trained with, or that the evaluation was made with."""
    trained = next((model["record"] for model in record["models"] if model.get("record")), record)
    made = trained["environment"]
    return f"{str(made.get('commit'))[:8]}{' with changes' if made.get('dirty') else ''}"
