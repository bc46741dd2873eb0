"""Processes under torchrun share an evaluation, and one of them writes its results."""

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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")


def run(script: list[str], folder: Path, processes: int) -> str:
    """Run a script -> what it prints."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    finished = subprocess.run(
        [sys.executable, *launcher, *script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def evaluate(model: Path, data: Path, out: Path, processes: int, *more: str) -> tuple[np.ndarray, dict, str]:
    out.mkdir()
    flags = [f"--model_path={model}", f"--data_path={data.parent}", f"--data_name={data.name}", "--device=cpu"]
    flags += [f"--json={out / 'test.json'}", f"--save_similarities={out / 'test.npy'}", "--memory_budget=0.000002"]
    printed = run(["evaluation.py", *flags, *more], ROOT / "SGRAF_LSEH", processes)
    return np.load(out / "test.npy"), json.loads((out / "test.json").read_text()), printed


@pytest.mark.parametrize("flags", [[], ["--rerank=3"]], ids=["whole", "rerank"])
def test_two_processes_share_the_scores_of_pairs(
    tmp_path: Path, make_data_set: Callable[..., Path], flags: list[str]
) -> None:
    data = make_data_set(tmp_path / "data" / "small_precomp")
    shape = np.load(data / "test_ims.npy").shape[1:]
    model = write_checkpoint(tmp_path / "model.pth.tar", "SGRAF", shape)
    one, metrics, printed = evaluate(model, data, tmp_path / "one", 1, *flags)
    two, shared, printed_too = evaluate(model, data, tmp_path / "two", 2, *flags)
    assert np.array_equal(one, two)
    assert shared["rsum"] == metrics["rsum"]
    assert printed_too.count("rsum") == printed.count("rsum") == 1


def test_the_first_process_alone_writes_the_line_of_results(tmp_path: Path, make_data_set: Callable[..., Path]) -> None:
    data = make_data_set(tmp_path / "data" / "small_precomp")
    shape = np.load(data / "test_ims.npy").shape[1:]
    model, table = write_checkpoint(tmp_path / "model.pth.tar", "HAL", shape), tmp_path / "results.csv"
    flags = [f"--model_path={model}", f"--data_path={data.parent}", f"--data_name={data.name}", "--device=cpu"]
    run(["compute_results.py", *flags, f"--save_csv={table}"], ROOT / "HAL", 2)
    assert len(table.read_text().splitlines()) == 1


def test_the_command_evaluate_shares_a_checkpoint(tmp_path: Path, make_data_set: Callable[..., Path]) -> None:
    data = make_data_set(tmp_path / "data" / "small_precomp")
    model = write_checkpoint(tmp_path / "model.pth.tar", "SGRAF", np.load(data / "test_ims.npy").shape[1:])
    command = ["-m", "vse", "evaluate", str(model), f"--data={data}", "--device=cpu", f"--json={tmp_path / 'm.json'}"]
    printed = [run(command, tmp_path, processes) for processes in (1, 2)]
    assert printed[0] == printed[1]
