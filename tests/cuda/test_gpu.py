"""What only a GPU can tell: gradients, resumed bits and bfloat16 on the device itself; skipped where there is none.

    python -m pytest tests/cuda/test_gpu.py

`VSE_TEST_DEVICE=cpu` runs the same on a CPU, to try the tests themselves.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from tests.cuda.runs import NETWORKS, evaluate, train, write_data
from tests.faults.processes import BATCH, combinations, gradients, open_networks
from tests.faults.runs import what_counts
from vse.files import read_json_lines
from vse.training import loop

DEVICE = os.environ.get("VSE_TEST_DEVICE", "cuda")
CLOSE = 1e-3
"""Largest difference of a gradient, as a share of the largest entry of all."""

pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("gpu"))


@pytest.mark.parametrize("network", sorted({network for network, _ in combinations()}))
def test_gradients_are_those_of_the_cpu(network: str, tmp_path: Path) -> None:
    losses = [loss for name, loss in combinations() if name == network]
    opened = open_networks(tmp_path, [network])[network]
    with mock.patch("VSEinfty_LSEH.model.DROPPED", 0.0):
        for loss in losses:
            wanted = gradients(network, loss, *opened[::-1], BATCH)
            found = gradients(network, loss, *opened[::-1], BATCH, DEVICE)
            scale = max(float(value.abs().max()) for value in wanted.values())
            assert set(found) == set(wanted)
            worst = max(float((found[key].cpu() - wanted[key]).abs().max()) for key in wanted)
            assert worst <= CLOSE * scale, loss


@pytest.mark.parametrize("network", NETWORKS)
def test_a_resumed_run_has_the_same_bits(network: str, data: Path, bert_folder: Path, tmp_path: Path) -> None:
    whole, broken, take_step, steps = tmp_path / "whole", tmp_path / "broken", loop.take_step, [0]

    def interrupted(*given: object) -> object:
        steps[0] += 1
        if steps[0] == 6:  # within the second epoch
            signal.raise_signal(signal.SIGINT)
        return take_step(*given)  # type: ignore[arg-type]

    more = "--precision float32"
    train(network, data, whole, more, bert_folder, DEVICE)
    with mock.patch.object(loop, "take_step", interrupted), pytest.raises(SystemExit, match="130"):
        train(network, data, broken, more, bert_folder, DEVICE)
    train(network, data, broken, f"{more} --resume auto", bert_folder, DEVICE)
    assert what_counts(broken) == what_counts(whole)


@pytest.mark.parametrize("network", NETWORKS)
def test_bfloat16_trains_and_evaluates(network: str, data: Path, bert_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    folder = train(network, data, run, f"--precision {'bf16' if DEVICE == 'cuda' else 'float32'}", bert_folder, DEVICE)
    losses = [row["loss"] for row in read_json_lines(run / "metrics.jsonl") if row["kind"] == "train"]
    assert losses
    assert np.isfinite(losses).all()
    evaluate(folder, run / "model_best.pth.tar", device=DEVICE)
