"""A run that is killed again and again ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.faults.runs import Trainer, killed_at_write, kills, what_counts, write_small_set

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills_do_not_change_a_bit(tmp_path: Path) -> None:
    assert kills("VSEpp_LSEH", tmp_path, count=20, during_writes=5) == (20, [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "schedule",
    [
        "--schedule original --lr_warmup_steps 4",
        "--schedule step --lr_milestones 0.3 0.7",
        "--schedule step --lr_milestones 1 1.5",
        "--schedule cosine --lr_warmup_steps 2",
        "--loss max_hinge --warmup_epochs 1.25 --warmup_form mean",
    ],
)
def test_a_schedule_resumes_to_equal_bits(schedule: str, tmp_path: Path) -> None:
    trainer = Trainer("VSEpp_LSEH", write_small_set(tmp_path / "data"))
    trainer.flags += schedule.split()
    assert trainer.finish(tmp_path / "whole")[0] == 0
    starts, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        starts += 1
        status, _ = trainer.finish(tmp_path / "cut", "--resume", "auto", before=killed_at_write(100 * starts))
    assert status == 0
    assert starts > 1
    assert what_counts(tmp_path / "cut") == what_counts(tmp_path / "whole")


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
