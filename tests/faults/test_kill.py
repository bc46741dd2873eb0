"""A run that is killed again and again ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.faults.runs import kills

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills_do_not_change_a_bit(tmp_path: Path) -> None:
    assert kills("VSEpp_LSEH", tmp_path, count=20, during_writes=5) == (20, [])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
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
