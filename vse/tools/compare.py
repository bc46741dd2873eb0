"""`python -m vse compare RESULTS`: evaluations side by side, seeds of one configuration in one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from vse.console import warn
from vse.errors import InputError
from vse.evaluation.comparison import (
    DIFFERENCES_NOTE,
    differences,
    differences_cells,
    find_evaluations,
    metrics_table,
    pick_row,
    rows_of,
)
from vse.evaluation.tables import Format, format_table


@dataclass
class Options:
    """Compare evaluations: mean and deviation over seeds, and whether differences are real."""

    results: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files that evaluation scripts write with --json, or folders of them. The record in each file tells which row it
    belongs to."""
    against: str | None = None
    """Row that the others are compared with: its number, or words of its name."""
    metric: Literal["rsum", "r1", "r5", "r10", "r1i", "r5i", "r10i"] = "rsum"
    """What --against compares; the i is text to image."""
    format: Format = "markdown"
    """Form of the tables."""


def main(options: Options) -> None:
    """Print the tables.

    Raises:
        InputError: a file is no result, results are unlike, or a seed occurs twice.
    """
    if not options.results:
        raise InputError("no results given; expected files that evaluation scripts write with --json, or their folders")
    rows = rows_of(find_evaluations(options.results))
    print(metrics_table(rows, options.format))
    commits = {_version(result.record) for row in rows for result in row.results.values()}
    if len(commits) > 1:
        warn(f"these results were made with {len(commits)} versions of the code: {', '.join(sorted(commits))}")
    if options.against is not None:
        against = pick_row(rows, options.against)
        found = differences(rows, against, options.metric)
        heads, cells = differences_cells(found, options.metric, against.name, options.format)
        print(f"\n{format_table(heads, cells, options.format)}")
        if options.format == "markdown":
            print(f"\n{DIFFERENCES_NOTE}")


def _version(record: Mapping[str, Any]) -> str:
    """Commit that the models were trained with, or that the evaluation was made with."""
    trained = next((model["record"] for model in record["models"] if model.get("record")), record)
    made = trained["environment"]
    return f"{str(made['commit'])[:8]}{' with changes' if made['dirty'] else ''}"
