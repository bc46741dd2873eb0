"""Tables of results: cells of mean and deviation, as Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Literal, NamedTuple

from tabulate import tabulate

Format = Literal["markdown", "latex", "csv"]


class Spread(NamedTuple):
    """Mean and sample deviation (n - 1); None for a single value."""

    mean: float
    deviation: float | None
    digits: int = 1

    def text(self, sign: str = "") -> str:
        """Mean and deviation as a cell of a table."""
        after = "" if self.deviation is None else f" ± {self.deviation:.{self.digits}f}"
        return f"{self.mean:{sign}.{self.digits}f}{after}"


def spread(values: Sequence[float], digits: int = 1) -> Spread:
    """Mean and sample deviation of values, to be shown with so many digits."""
    return Spread(mean(values), stdev(values) if len(values) > 1 else None, digits)


Cell = str | Spread


def format_table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], form: Format) -> str:
    """Format a table; in CSV a spread has a column for its mean and one for its deviation, unrounded."""
    if form == "csv":
        return _csv(heads, rows)
    texts = [[cell.text() if isinstance(cell, Spread) else cell for cell in row] for row in rows]
    if form == "markdown":
        heads, *texts = [[plain_markdown(cell) for cell in row] for row in (heads, *texts)]
    table = tabulate(
        texts,
        headers=heads,
        tablefmt="github" if form == "markdown" else "latex_booktabs",
        disable_numparse=True,
        colalign=["left", *("right" for _ in heads[1:])] if rows else None,
    )
    return table.replace("±", "$\\pm$") if form == "latex" else table


def plain_markdown(text: str) -> str:
    """Return Markdown that shows a text as it is; an underscore within a word is no markup."""
    return re.sub(r"[\\`*|\[]|<(?=[a-zA-Z/!?])|(?<!\w)_|_(?!\w)", r"\\\g<0>", " ".join(text.split()))


def _csv(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    has_deviation = [any(isinstance(row[column], Spread) for row in rows) for column in range(len(heads))]
    names: list[str] = []
    for head, two in zip(heads, has_deviation, strict=True):
        names += [head, f"{head} sd"] if two else [head]
    writer.writerow(names)
    for row in rows:
        values: list[str | float] = []
        for cell, two in zip(row, has_deviation, strict=True):
            if isinstance(cell, Spread):
                values += [cell.mean, "" if cell.deviation is None else cell.deviation]
            else:
                values += [cell, ""] if two else [cell]
        writer.writerow(values)
    return text.getvalue().rstrip("\n")
