"""The step at which rsum on dev first passes a level, for every run below a folder.

    F8K=FOLDER python -m vse experiment benchmarks/plans/cold_start.toml
    python benchmarks/cold_start.py runs/cold_start
    python benchmarks/cold_start.py runs/cold_start --level 100

The table has a row for each objective and a column for each seed. A run validates every `--val_step` steps and after
every epoch, so that a step is exact to the distance between validations. `> N` says that the run ended at step N below
the level.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tabulate import tabulate


def first_step(metrics: Path, level: float) -> str:
    """Return the first step after which rsum on dev is at least `level`, or `> N` after the last of N steps."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    dev = [row for row in rows if row["kind"] == "dev"]
    passed = next((row["step"] for row in dev if row["rsum"] >= level), None)
    return f"> {dev[-1]['step']}" if passed is None else str(passed)


def described(run: Path) -> tuple[str, int]:
    """Name a run by its objective and warm-up, and return its seed."""
    options = json.loads((run / "run.json").read_text())["options"]
    name = options["loss"]
    if options["warmup_epochs"]:
        name += f", {options['warmup_epochs']:g} epochs of the {options['warmup_form']}"
    return name, options["seed"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Steps until rsum on dev first passes a level.")
    parser.add_argument("folder", type=Path, help="folder of the runs")
    parser.add_argument("--level", type=float, default=50.0, help="rsum to reach")
    given = parser.parse_args()
    table: dict[str, dict[int, str]] = {}
    for metrics in sorted(given.folder.rglob("metrics.jsonl")):
        name, seed = described(metrics.parent)
        table.setdefault(name, {})[seed] = first_step(metrics, given.level)
    seeds = sorted({seed for row in table.values() for seed in row})
    rows = [[name, *(row.get(seed, "") for seed in seeds)] for name, row in table.items()]
    print(tabulate(rows, headers=["objective", *(f"seed {seed}" for seed in seeds)], disable_numparse=True))


if __name__ == "__main__":
    main()
