"""Training on mismatched pairs: every network reads them, a run keeps them and refuses to go on with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

SIZES = "--embed_size 16 --word_dim 8 --batch_size 40 --num_epochs 1"
SMALL = f"--data_path $DATA --data_name small --logger_name run {SIZES}"
NOISE = "--noise 0.4 --noise_protocol captions --noise_seed 3"
FOLDERS = {
    "VSEpp_LSEH": "",
    "HAL": "",
    "VSRN_LSEH": "--dim_hidden 8 --dim_word 8",
    "VSEinfty_LSEH": "--text_encoder bigru",
    "SGRAF_LSEH": "--sim_dim 8",
    "GSMN_LSEH": "--num_block 4",
}


def auc_of(run: Path) -> tuple[float, int]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["kind"] == "noise"]
    return row["auc"], row["pairs"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_network_trains_on_mismatched_pairs(script, data_root: Path, folder: str) -> None:
    done = script(folder, f"python train.py {SMALL} {NOISE} {FOLDERS[folder]}", DATA=data_root)
    assert "noise: 48 of 120 captions (captions, seed 3), " in done.output
    run = done.folder / "run"
    index = np.load(run / "noise.npy")
    record = json.loads((run / "run.json").read_text())["noise"]
    assert record["mismatched"] == (index != np.arange(120) // 5).sum() > 30
    auc, pairs = auc_of(run)
    assert 0 <= auc <= 1
    assert pairs == 120


def test_a_run_goes_on_with_its_own_noise_only(script, data_root: Path) -> None:
    script("VSEpp_LSEH", f"python train.py {SMALL} {NOISE}", DATA=data_root)
    more = f"python train.py {SMALL} --num_epochs 2 --resume auto"
    done = script("VSEpp_LSEH", f"{more} {NOISE} --noise_seed 4", status=2, DATA=data_root)
    assert "--noise_seed 3, now 4" in done.errors
    done = script("VSEpp_LSEH", f"{more} {NOISE}", DATA=data_root)
    assert "epoch 2  AUC of the losses of 120 pairs" in done.output


def test_a_run_can_repeat_the_noise_of_another(script, data_root: Path) -> None:
    first = script("VSEpp_LSEH", f"python train.py {SMALL} {NOISE}", DATA=data_root).folder / "run"
    (first / "noise.npy").rename(first.parent / "given.npy")
    again = f"python train.py {SMALL} --noise_protocol given.npy --logger_name again"
    script("VSEpp_LSEH", again, DATA=data_root)
    records = [json.loads((folder / "run.json").read_text()) for folder in (first, first.parent / "again")]
    assert records[0]["noise"] == records[1]["noise"]
    assert records[0]["best_score"] == records[1]["best_score"]


def test_a_run_goes_on_when_its_index_was_moved_but_not_changed(script, data_root: Path, tmp_path: Path) -> None:
    index = np.arange(120) // 5
    np.save(tmp_path / "index.npy", np.roll(index, 5))
    flags = f"{SMALL} --noise_protocol {tmp_path}"
    script("VSEpp_LSEH", f"python train.py {flags}/index.npy", DATA=data_root)
    (tmp_path / "index.npy").rename(tmp_path / "moved.npy")
    done = script("VSEpp_LSEH", f"python train.py {flags}/moved.npy --num_epochs 2 --resume auto", DATA=data_root)
    assert "epoch 2  i2t" in done.output
    np.save(tmp_path / "moved.npy", np.roll(index, 10))
    again = f"python train.py {flags}/moved.npy --num_epochs 3 --resume auto"
    assert "noise" in script("VSEpp_LSEH", again, status=2, DATA=data_root).errors


@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")
def test_processes_train_on_the_same_mismatched_pairs(script, data_root: Path, tmp_path: Path) -> None:
    alone = script("VSEpp_LSEH", f"python train.py {SMALL} {NOISE}", DATA=data_root).folder / "run"
    flags = SMALL.replace("$DATA", str(data_root)).replace("--batch_size 40", "--batch_size 20")
    both = tmp_path / "both"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "train.py", "--device=cpu"]
    finished = subprocess.run(
        [sys.executable, *command, *flags.split(), *NOISE.split(), f"--logger_name={both}"],
        cwd=ROOT / "VSEpp_LSEH",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("noise: 48 of 120") == 1
    assert (np.load(alone / "noise.npy") == np.load(both / "noise.npy")).all()
    assert auc_of(both) == (pytest.approx(auc_of(alone)[0], abs=2e-3), 120)
