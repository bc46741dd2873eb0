"""A run that is killed again and again ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent.parent

# Forks a training process from one that has everything imported, kills it after a random part of its time, and starts
# it anew with --resume auto, until it was killed 20 times; then lets it finish.
DRIVER = """
import contextlib, os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from vse.cli import run
from VSEpp_LSEH import train

torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # what it imports takes seconds: once here, not in every child

def child(folder, *more):
    pid = os.fork()
    if pid == 0:
        sys.argv = ["train.py", "--data_path", sys.argv[1], "--data_name", "small", "--logger_name", folder,
                    "--embed_size", "16", "--word_dim", "8", "--batch_size", "8", "--num_epochs", "4",
                    "--val_step", "3", "--max_violation", "--learning_rate", "0.01", "--lr_update", "2",
                    "--seed", "7", *more]
        with open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent):
            run(train.main, train.Options, demo=train.DEMO)
        os._exit(0)
    return pid

def wait(pid):
    status = os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, status

whole, broken = sys.argv[2], sys.argv[3]
wait(child(whole + ".warm"))
started = time.monotonic()
wait(child(whole))
duration = time.monotonic() - started
random.seed(0)
kills = 0
while kills < 20:
    pid = child(broken, "--resume", "auto")
    time.sleep(random.uniform(0.02, 0.6) * duration)
    if os.waitpid(pid, os.WNOHANG)[0]:
        for name in ("checkpoint.pth.tar", "checkpoint.previous.pth.tar", "model_best.pth.tar"):
            os.unlink(os.path.join(broken, name))  # it got to the end: from the beginning again
        continue
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    kills += 1
wait(child(broken, "--resume", "auto"))
"""


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills_do_not_change_a_bit(tmp_path: Path, data_root: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(
        [sys.executable, "-c", DRIVER, str(data_root), str(whole), str(broken)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    for name in ("checkpoint.pth.tar", "model_best.pth.tar"):
        expected = torch.load(whole / name, weights_only=True)
        resumed = torch.load(broken / name, weights_only=True)
        assert ("optimizer" in expected) == (name == "checkpoint.pth.tar")
        for part in ("model", "optimizer", "objective", "progress", "rng"):
            assert same(expected.get(part), resumed.get(part)), f"{name}: {part}"
    assert (whole / "metrics.jsonl").read_text().count("rsum") == (broken / "metrics.jsonl").read_text().count("rsum")
    leftovers = [path.name for path in broken.iterdir() if path.name.startswith(".")]
    assert not leftovers


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits_with_its_status(tmp_path: Path, data_root: Path, number: int, status: int) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [
            sys.executable, str(ROOT / "VSEpp_LSEH" / "train.py"),
            "--data_path", str(data_root), "--data_name", "small",
            "--logger_name", str(folder), "--embed_size", "16", "--word_dim", "8", "--batch_size", "8",
            "--num_epochs", "100000", "--log_step", "1", "--val_step", "1000000",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "step 20/" in line:
            break
    process.send_signal(number)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == status
    assert "interrupted after" in rest
    saved = torch.load(folder / "checkpoint.pth.tar", weights_only=True)
    assert saved["progress"]["step"] >= 20
