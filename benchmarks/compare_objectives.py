"""Train VSE++ with every objective on one data set, three seeds each, and print what came out as a Markdown table.

    python benchmarks/compare_objectives.py --data_path $DATA_PATH --data_name f8k_global --runs /somewhere/objectives
    python benchmarks/compare_objectives.py --runs /somewhere/objectives --table          what is finished so far

Each seed trains one model with sums of hinges (`WARM_UP`), because the hardest negatives collapse from a cold start at
learning rates that suit the others; every objective begins with its weights. Network, schedule, learning rate and
budget are the same for all (`SCHEDULE`); only the objective and its constants change (`OBJECTIVES`). The model with the
best dev rsum, looked at after every epoch, is evaluated on test once. Seeds come one after the other, so that an
unfinished comparison is a fair one; a run that is finished is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent

OBJECTIVES = {
    "LMH, margin 0.2": "--loss lmh --margin 0.2",
    "LMH, margin 0.185": "--loss lmh --margin 0.185",
    "LSEH": "--loss lseh --max_violation",
    "LUWM": "--loss luwm",
    "HAL, Flickr30K's constants": "--loss hal --local_alpha 60 --local_ep 0.7",
    "InfoNCE": "--loss infonce",
}
NETWORK = "--embed_size 128 --word_dim 64 --batch_size 128 --val_step 1000000 --log_step 50"
WARM_UP = "--loss sum_hinge --learning_rate 0.002 --num_epochs 3"
SCHEDULE = "--learning_rate 0.0005 --num_epochs 12 --lr_update 8"
SEEDS = [0, 1, 2]


def folder_of(runs: Path, objective: str, seed: int) -> Path:
    name = "".join(letter if letter.isalnum() or letter == "." else "_" for letter in objective.lower())
    return runs / f"{name}_seed{seed}"


def run_script(script: str, *arguments: str | Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, ROOT / "VSEpp_LSEH" / script, *arguments], env=environment, check=True)


def warm_up(runs: Path, seed: int, data: list[str]) -> Path:
    """The model that every objective begins with."""
    folder = runs / f"warm_up_seed{seed}"
    finished = folder / "finished"
    if not finished.exists():
        flags = [*NETWORK.split(), *WARM_UP.split(), "--vocab_path", str(runs / "vocab"), "--seed", str(seed)]
        run_script("train.py", *data, *flags, "--device", "cpu", "--logger_name", folder)
        finished.touch()
    return folder / "model_best.pth.tar"


def train_and_evaluate(runs: Path, objective: str, seed: int, data: list[str]) -> None:
    """Both in processes of their own; `cpu_seconds` (training) and the test metrics end up in the run's folder."""
    folder = folder_of(runs, objective, seed)
    flags = [*NETWORK.split(), *OBJECTIVES[objective].split(), *SCHEDULE.split(), "--vocab_path", str(runs / "vocab")]
    start = ["--init_model", warm_up(runs, seed, data), "--seed", str(seed), "--device", "cpu"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_script("train.py", *data, *flags, *start, "--logger_name", folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (folder / "cpu_seconds").write_text(f"{after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.0f}")
    model = ["--model_path", folder / "model_best.pth.tar", "--device", "cpu"]
    run_script("evaluation.py", *model, *data, "--json", folder / "test.json")


def best_epoch(folder: Path, share: float = 1.0) -> int:
    """The first epoch, counted from 1, whose end reached this share of the run's best dev rsum."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    curve = [line["rsum"] for line in lines if "rsum" in line]
    return next(epoch for epoch, rsum in enumerate(curve, start=1) if rsum >= share * max(curve))


def table(runs: Path) -> str:
    """Markdown: mean ± standard deviation (n - 1) over the finished seeds of each objective."""

    def spread(values: list[float], digits: int = 1) -> str:
        deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
        return f"{mean(values):.{digits}f}{deviation}"

    rows = []
    for objective in OBJECTIVES:
        folders = [folder_of(runs, objective, seed) for seed in SEEDS]
        done = [folder for folder in folders if (folder / "test.json").exists()]
        if not done:
            continue
        metrics = [json.loads((folder / "test.json").read_text()) for folder in done]
        rows.append(
            [
                objective,
                spread([m["rsum"] for m in metrics]),
                *(spread([m[column] for m in metrics]) for column in ("r1", "r1i")),
                ", ".join(str(best_epoch(folder)) for folder in done),
                ", ".join(str(best_epoch(folder, 0.99)) for folder in done),
                *(spread([m[column] for m in metrics], 2) for column in ("hub_skewness", "hub_skewnessi")),
                *(spread([m[column] for m in metrics]) for column in ("antihubs", "antihubsi")),
                spread([float((folder / "cpu_seconds").read_text()) for folder in done], 0),
                len(done),
            ]
        )
    headers = [
        "objective",
        "test rsum",
        "R@1 image to text",
        "R@1 text to image",
        "best epoch of each seed",
        "within 1 %",
        "skewness, captions",
        "skewness, images",
        "never found, captions %",
        "never found, images %",
        "CPU s",
        "seeds",
    ]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", default=None)
    parser.add_argument("--data_name", default=None)
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept, outside the repository")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="train these only, in a process of its own")
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES), help="the same")
    parser.add_argument("--table", action="store_true", help="train nothing, print the table of what is finished")
    options = parser.parse_args()
    data = [
        text
        for name in ("data_path", "data_name")
        if (value := getattr(options, name))
        for text in (f"--{name}", value)
    ]
    if not options.table:
        for seed in options.seeds:
            for objective in options.objectives:
                if not (folder_of(options.runs, objective, seed) / "test.json").exists():
                    train_and_evaluate(options.runs, objective, seed, data)
    print(table(options.runs))


if __name__ == "__main__":
    main()
