"""`python -m vse compare FILES`: a Markdown table of several evaluations, seeds of one run averaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vse.evaluation.reports import compare


@dataclass
class Options:
    """Compare evaluations: a Markdown table of --json files, mean and deviation over seeds."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Metrics files; those whose names differ only in `seedN` are one row."""


def main(options: Options) -> None:
    """Print the table."""
    print(compare([Path(file) for file in options.files]))
