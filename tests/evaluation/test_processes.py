"""Processes under torchrun share an evaluation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.trained import write_checkpoint


def evaluate(model: Path, data: Path, out: Path, processes: int) -> tuple[np.ndarray, dict, str]:
    out.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    flags = [f"--model_path={model}", f"--data_path={data.parent}", f"--data_name={data.name}", "--device=cpu"]
    flags += [f"--json={out / 'test.json'}", f"--save_similarities={out / 'test.npy'}", "--memory_budget=0.000002"]
    finished = subprocess.run(
        [sys.executable, *launcher, "evaluation.py", *flags],
        cwd=ROOT / "SGRAF_LSEH",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return np.load(out / "test.npy"), json.loads((out / "test.json").read_text()), finished.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")
def test_two_processes_share_the_scores_of_pairs(tmp_path: Path, make_data_set: Callable[..., Path]) -> None:
    data = make_data_set(tmp_path / "data" / "small_precomp")
    shape = np.load(data / "test_ims.npy").shape[1:]
    model = write_checkpoint(tmp_path / "model.pth.tar", "SGRAF", shape)
    one, metrics, printed = evaluate(model, data, tmp_path / "one", 1)
    two, shared, printed_too = evaluate(model, data, tmp_path / "two", 2)
    assert np.array_equal(one, two)
    assert shared["rsum"] == metrics["rsum"]
    assert printed_too.count("rsum") == printed.count("rsum") == 1
