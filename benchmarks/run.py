"""Our speed beside that of the original procedures, all in one run: the table of docs/speed.md.

    python benchmarks/run.py --json speed.json                      # all rows; an idle machine, about an hour
    python benchmarks/run.py --only SGR VSRN --rounds 1
    python benchmarks/run.py --captions train_caps.txt              # with the row of the description vectors

Both procedures of a row take turns, each time in a process of its own on one thread. A row states the medians of their
CPU seconds, of the ratios of the turns, and, where the script measures it, of the memory beyond network, optimizer and
data. The original procedures are written from the description of the original
code, as the scripts that are run state; `original` is what the reader would otherwise run, not the fastest that exists.
Nothing is printed if other work made the machine's load exceed its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from measuring import PROCEDURES
from tabulate import tabulate
from tqdm import tqdm

from vse.errors import InputError
from vse.exits import run_to_end
from vse.records import environment
from vse.text.captions import read_captions

HERE = Path(__file__).parent


class Row(NamedTuple):
    """A task, and the command that prints the CPU seconds of a procedure as JSON; `{}` stands for the procedure."""

    task: str
    command: str


ROWS = (
    Row("VSE++, training step, 36 x 2048 flattened, B = 128", "objectives.py --one VSE++ {}"),
    Row("SGR, training step, B = 128", "sgraf.py --one SGR {} train lseh"),
    Row("SGR, scores of 100 images x 500 captions", "sgraf.py --one SGR {} evaluate lseh"),
    Row("SAF, training step, B = 128", "sgraf.py --one SAF {} train lseh"),
    Row("SAF, scores of 100 images x 500 captions", "sgraf.py --one SAF {} evaluate lseh"),
    Row("GSMN, training step, B = 64", "gsmn.py --one {} train"),
    Row("GSMN, scores of 100 images x 500 captions", "gsmn.py --one {} evaluate"),
    Row("VSRN, training step, B = 128", "vsrn.py --threads 1 --one {}"),
    Row("VSE-infinity, training step, B = 128", "vseinfty.py --one {}"),
    Row("LUWM, B = 128", "objectives.py --one LUWM {}"),
    Row("HAL without a bank, B = 128", "objectives.py --one HAL {}"),
    Row("evaluation of a VSE++ checkpoint, 1,000 x 5,000, whole process", "checkpoint.py --one {}"),
    Row("scores and ranks, 5,000 x 25,000, VSE++'s code", "evaluation.py --images 5000 --one {}"),
    Row("scores and ranks, 5,000 x 25,000, VSE-infinity's code", "evaluation.py --images 5000 --whole --one {}"),
)

DESCRIPTIONS = Row("description vectors of {count:,} captions", "descriptions.py {captions} --one {{}}")
"""The row of a caption file; it is measured once, as the original procedure takes minutes."""


def refuse_other_work() -> None:
    """End if more processes want to run than the machine has cores.

    Raises:
        InputError: they do.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        raise InputError(f"the load is {load:.1f} on {cores} cores; measure on a machine that has nothing else to do")


def take(row: Row, procedure: str) -> dict[str, float]:
    """Run a procedure in a process of its own on one thread and return what it prints: `cpu_s` and perhaps more."""
    script, *arguments = row.command.format(procedure).split()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(f"{row.command.format(procedure)} failed: {done.stderr.strip()}")
    printed: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return printed


def measure(row: Row, rounds: int) -> dict[str, Any]:
    """Let both procedures take turns: what each printed in every turn, and the ratios of their seconds."""
    taken: dict[str, list[dict[str, float]]] = {procedure: [] for procedure in PROCEDURES}
    for turn in range(rounds):
        for procedure in PROCEDURES if turn % 2 == 0 else reversed(PROCEDURES):
            taken[procedure].append(take(row, procedure))
            refuse_other_work()
    ratios = [theirs["cpu_s"] / ours["cpu_s"] for theirs, ours in zip(taken["original"], taken["ours"], strict=True)]
    return {"task": row.task, "command": row.command, "ratios": ratios, **taken}


def line(result: dict[str, Any]) -> list[str]:
    """Lay a row's medians out for the table."""
    ratios = result["ratios"]
    cells = [result["task"]]
    for procedure in reversed(PROCEDURES):
        turns = result[procedure]
        memory = f", {median(turn['memory_mb'] for turn in turns):,.0f} MB" if "memory_mb" in turns[0] else ""
        cells.append(shown(median(turn["cpu_s"] for turn in turns)) + memory)
    low, middle, high = (
        f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}" for ratio in (min(ratios), median(ratios), max(ratios))
    )
    return [*cells, middle, f"{low} to {high}"]


def shown(value: float) -> str:
    """Seconds with three digits that count; milliseconds below a tenth."""
    return f"{1000 * value:.3g} ms" if value < 0.1 else f"{value:#.3g} s".replace(". s", " s")


def main() -> None:
    """Print the table; write the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of both procedures")
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose task contains one of these")
    parser.add_argument("--captions", type=Path, help="caption file of the row of description vectors")
    parser.add_argument("--json", type=Path, help="file of all measurements")
    options = parser.parse_args()
    rows = [(row, options.rounds) for row in ROWS if any(part in row.task for part in options.only)]
    if options.captions is not None:
        count = len(read_captions(options.captions))
        task, command = (text.format(count=count, captions=options.captions) for text in DESCRIPTIONS)
        rows.append((Row(task, command), 1))
    refuse_other_work()
    results = [measure(row, rounds) for row, rounds in tqdm(rows, disable=None)]
    machine = environment(torch.device("cpu"))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine, "rows": results}, indent=1) + "\n", encoding="utf-8")
    heads = ["task", "ours", "original procedure", "ratio", "of the turns"]
    print(tabulate(map(line, results), headers=heads, tablefmt="github", disable_numparse=True))
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    print(f"\n{machine['device_name']}, one thread of {os.cpu_count()}; {versions}; commit {machine['commit']}")


if __name__ == "__main__":
    run_to_end(main)
