"""The step at which rsum on dev first passes a level, for every run of an experiment.

    F8K=FOLDER python -m vse experiment benchmarks/plans/cold_start.toml
    python benchmarks/cold_start.py runs/cold_start
    python benchmarks/cold_start.py runs/cold_start --level 100

A run validates every `--val_step` steps and after every epoch, so that a step is exact to the distance between
validations. Seeds give a median (of an even number of seeds the upper one), and the lowest and the highest step where
they differ; `> N` says that a run ended at step N below the level. The last column is the mean over seeds of the best
rsum on dev.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean

from measuring import finished_runs
from tabulate import tabulate

from vse.errors import InputError
from vse.exits import run_to_end
from vse.files import read_json_lines


def validations(metrics: Path) -> dict[int, float]:
    """Return rsum on dev by step."""
    return {row["step"]: row["rsum"] for row in read_json_lines(metrics) if row["kind"] == "dev"}


def first_steps(runs: list[dict[int, float]], level: float) -> str:
    """Return the first step with rsum of at least `level`: median, lowest and highest run; `> N` for none of N."""
    firsts = [next((step for step, value in rsum.items() if value >= level), None) for rsum in runs]
    known = sorted(step for step in firsts if step is not None)
    never = sorted(max(rsum) for rsum, step in zip(runs, firsts, strict=True) if step is None)
    steps = [f"{step:,}" for step in known] + [f"> {step:,}" for step in never]
    low, middle, high = steps[0], steps[len(steps) // 2], steps[-1]
    return middle if low == high else f"{middle} ({low} to {high})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the experiment")
    parser.add_argument("--level", type=float, default=50.0, help="rsum to reach")
    given = parser.parse_args()
    runs: dict[str, list[dict[int, float]]] = defaultdict(list)
    for run in finished_runs(given.folder):
        rsum = validations(run.folder / "metrics.jsonl")
        if not rsum:
            raise InputError(f"{run.folder / 'metrics.jsonl'}: no validation; resume the run, or train it anew")
        runs[run.row].append(rsum)
    rows = [
        [
            name,
            first_steps(seeds, given.level),
            f"{mean(max(r.values()) for r in seeds):.1f}",
        ]
        for name, seeds in runs.items()
    ]
    heads = ["objective", f"first step with rsum {given.level:g}", "best rsum"]
    print(tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    run_to_end(main)
