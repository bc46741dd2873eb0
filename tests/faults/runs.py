"""Training runs that are attacked: stopped at any time, at any write, and started with values that make no sense."""

from __future__ import annotations

import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import ROOT, write_data_set
from vse import checkpoints
from vse.cli import parse
from vse.exits import run_to_end
from vse.training import checkpoint_writer

COMMON = "--data_name small --batch_size 16 --num_epochs 2 --val_step 3 --embed_size 16 --word_dim 8 --lr_update 1"
NETWORKS = {
    "VSEpp_LSEH": "",
    "VSRN_LSEH": "--dim_hidden 8 --dim_word 8 --batch_size 32",
    "VSEinfty_LSEH": "--text_encoder bigru",
    "SGRAF_LSEH": "--sim_dim 8 --batch_size 40",
    "GSMN_LSEH": "--embed_size 32 --batch_size 40",
    "HAL": "",
}
"""Network -> flags of a run of about a second."""

PATIENCE = 120.0
"""Seconds after which a run counts as hanging."""


def write_small_set(folder: Path) -> Path:
    """Write a data set that every network trains on, and return the folder to give as `--data_path`."""
    small = write_data_set(folder / "small_precomp")
    chance = np.random.default_rng(0)
    for split, images in (("train", 24), ("dev", 8), ("test", 8)):
        corners = np.sort(chance.random((images, 4, 2, 2)), axis=2).reshape(images, 4, 4)
        np.save(small / f"{split}_ims_bbx.npy", corners.astype(np.float32))
    return folder


class Trainer:
    """Starts training runs of one network, in processes forked from this one, which has everything imported."""

    def __init__(self, network: str, data: Path) -> None:
        self.module = importlib.import_module(f"{network}.train")
        importlib.import_module("vse.training.loop")
        torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # what it imports takes seconds
        self.flags = [*COMMON.split(), *NETWORKS[network].split(), "--data_path", str(data)]

    def start(self, run: Path, *more: str, before: Callable[[], None] = lambda: None) -> int:
        """Start a run in a folder and return its process id; what it prints is beside the folder."""
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            for name, stream in (("out", 1), ("err", 2)):
                os.dup2(os.open(f"{run}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            checkpoint_writer.SAVE_EVERY = 0.05  # in a run of a second what minutes are in one of hours
            sys.argv = ["train.py", *self.flags, "--logger_name", str(run), *more]
            status = 1
            try:
                before()
                run_to_end(lambda: self.module.main(parse(self.module.Options)))
            except SystemExit as exit_:
                status = exit_.code if isinstance(exit_.code, int) else 1
            finally:
                os._exit(status)
        return child

    def finish(self, run: Path, *more: str, before: Callable[[], None] = lambda: None) -> tuple[int, str]:
        """Run to the end -> exit status (negative: the signal that ended it), and what went to stderr."""
        child, patience = self.start(run, *more, before=before), time.monotonic() + PATIENCE
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > patience:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return 0, "Traceback: it hangs"
            time.sleep(0.005)
        return os.waitstatus_to_exitcode(ended[1]), Path(f"{run}.err").read_text()


def what_counts(run: Path) -> tuple[Any, ...]:
    """Return what a resumed run must have equal: digests of checkpoint and best model, and how often it validated."""
    parts = ("model", "average", "objective", "optimizer", "progress", "rng", "order")
    contents = [torch.load(run / name, weights_only=True) for name in ("checkpoint.pth.tar", "model_best.pth.tar")]
    validations = (run / "metrics.jsonl").read_text().count('"rsum"')
    return (*(checkpoints.digest({part: content.get(part) for part in parts}) for content in contents), validations)


def killed_at_write(number: int) -> Callable[[], None]:
    """Kill the process at its `number`-th call that changes a file."""

    def arrange() -> None:
        from vse.files import _Recorder

        left = number

        def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            return call

        for owner, name in ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink"), (_Recorder, "write")):
            setattr(owner, name, deadly(getattr(owner, name)))

    return arrange


def kills(network: str, folder: Path, count: int, during_writes: int, seed: int = 0) -> tuple[int, list[str]]:
    """Kill a run on the small data set again and again; see `kills_of`."""
    return kills_of(Trainer(network, write_small_set(folder / "data")), folder, count, during_writes, seed)


def kills_of(trainer: Trainer, folder: Path, count: int, during_writes: int, seed: int = 0) -> tuple[int, list[str]]:
    """Kill a run again and again, some of the times during writes, and resume it -> kills, and what went wrong."""
    chance, network = random.Random(seed), trainer.module.__name__
    whole, broken = folder / "whole", folder / "broken"
    started = time.monotonic()
    status, errors = trainer.finish(whole)
    duration = time.monotonic() - started
    if status:
        return 0, [f"{network}: exit {status} {errors[-300:]}"]
    expected, wrong, done = what_counts(whole), [], 0
    while done < count:
        if done < during_writes:
            status, errors = trainer.finish(broken, "--resume", "auto", before=killed_at_write(chance.randrange(40)))
        else:
            status, errors = kill_after(trainer, broken, chance.uniform(0, duration))
        if status == -signal.SIGKILL:
            done += 1
            continue
        if status or "Traceback" in errors or what_counts(broken) != expected:
            wrong.append(f"{network}: exit {status} {errors[-300:]}")
            break
        shutil.rmtree(broken)  # it got to the end, and was equal: from the beginning again
    status, errors = trainer.finish(broken, "--resume", "auto")
    if status or what_counts(broken) != expected:
        wrong.append(f"{network}: exit {status}, other weights than without a kill {errors[-300:]}")
    if leftovers := [path.name for path in broken.glob(".*")]:
        wrong.append(f"{network}: {leftovers[0]} stays")
    return done, wrong


def kill_after(trainer: Trainer, run: Path, seconds: float) -> tuple[int, str]:
    """Start a run and kill it after a while, if it still runs."""
    child = trainer.start(run, "--resume", "auto")
    until = time.monotonic() + seconds
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
        time.sleep(0.002)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended[1]), Path(f"{run}.err").read_text()


@contextmanager
def script_process(network: str, data: Path, run: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start `train.py` as a user does, in a process of its own."""
    flags = [*COMMON.split(), *NETWORKS[network].split(), "--data_path", str(data), "--logger_name", str(run), *more]
    process = subprocess.Popen(
        [sys.executable, "train.py", *flags],
        cwd=ROOT / network,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def signals(folder: Path, count: int, seed: int = 0) -> tuple[dict[str, int], list[str]]:
    """Send signals at any time between the first and the last line of a script -> outcomes, and what went wrong.

    Each kind of signal gets equally many runs with and without loader processes; their whole group gets the signal.
    """
    chance, data = random.Random(seed), write_small_set(folder / "data")
    outcomes: dict[str, int] = {}
    wrong = []
    started = time.monotonic()
    with script_process("VSEpp_LSEH", data, folder / "whole") as process:
        process.communicate(timeout=PATIENCE)
    duration = time.monotonic() - started
    for number in range(count):
        kind = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)[number % 3]
        moment, run = chance.uniform(0, duration), folder / f"run{number}"
        workers = ("--workers", str(number // 3 % 2 * 2))
        with script_process("VSEpp_LSEH", data, run, *workers) as process:
            time.sleep(moment)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
            printed, errors = process.communicate(timeout=PATIENCE)
        outcome = classify(process.returncode, kind, printed, errors)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if outcome.startswith("wrong"):
            wrong.append(
                f"{kind.name} after {moment:.2f} of {duration:.2f} s: exit {process.returncode} {errors[-300:]}"
            )
        if (run / "checkpoint.pth.tar").exists():
            checkpoints.load(run / "checkpoint.pth.tar")
    return outcomes, wrong


def classify(status: int, kind: signal.Signals, printed: str, errors: str) -> str:
    """Name what a signal did to a script."""
    if "Traceback" in errors:
        return "before the first line" if "run_to_end" not in errors and "KeyboardInterrupt" in errors else "wrong"
    if status == 128 + kind:
        said = [line for line in (printed + errors).splitlines() if "interrupted" in line or "stopped by" in line]
        return "exit status and one sentence" if len(said) == 1 else "wrong"
    if status == -kind:
        return "before the first line"
    return "ended already" if status == 0 else "wrong"
