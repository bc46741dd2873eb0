"""Signals that a whole process group gets, and loader processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.runs import COMMON, Trainer, write_small_set
from vse import checkpoints


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a long run with loader processes and wait until it trains."""
    flags = f"{COMMON} --num_epochs 100000 --log_step 1 --workers 2 --data_path {write_small_set(folder / 'data')}"
    process = subprocess.Popen(
        [sys.executable, "train.py", *flags.split(), "--logger_name", str(folder / "run")],
        cwd=ROOT / "VSEpp_LSEH",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "step 20/" in line:
            break
    return process


def loaders_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        return [int(child) for child in children.read_text().split()]
    except OSError:
        return []


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_process_group_saves(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path)
    os.killpg(process.pid, number)
    printed, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (128 + number, "")
    assert "interrupted after" in printed
    assert checkpoints.load(tmp_path / "run" / "checkpoint.pth.tar").progress["step"] >= 20


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_killed_loader_is_one_sentence(tmp_path: Path) -> None:
    process = start(tmp_path)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:  # one that has done its part of an epoch is not missed
        for loader in loaders_of(process)[:1]:
            with suppress(ProcessLookupError):
                os.kill(loader, signal.SIGKILL)
        time.sleep(0.3)
    said = process.communicate(timeout=1)[1]
    assert said.splitlines()[-1].startswith("error: a loader process was ended from outside"), said
    assert process.returncode == 2


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_loaders_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path)
    loaders = loaders_of(process)
    process.kill()
    process.communicate(timeout=100)
    until = time.monotonic() + 30
    while time.monotonic() < until and any(map(lives, loaders)):
        time.sleep(0.1)
    assert not any(map(lives, loaders))


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("network", ["SGRAF_LSEH", "VSEinfty_LSEH"])
def test_a_batch_too_small_to_normalise_is_refused(tmp_path: Path, network: str) -> None:
    trainer = Trainer(network, write_small_set(tmp_path / "data"))
    status, errors = trainer.finish(tmp_path / "run", "--batch_size", "1")
    assert status == 2
    assert errors.endswith("--batch_size 1: the network normalises over the pairs of a batch; give at least 2\n")


def test_a_batch_of_one_pair_is_refused(tmp_path: Path) -> None:
    trainer = Trainer("VSEpp_LSEH", write_small_set(tmp_path / "data"))
    status, errors = trainer.finish(tmp_path / "run", "--batch_size", "1")
    assert status == 2
    assert errors.endswith("--batch_size 1: a single pair has no wrong answers to learn from; give at least 2\n")
