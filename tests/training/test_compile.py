"""`--compile` compiles the objective as a whole, and does not compile it again for every batch."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import torch
import torch._dynamo
from torch._dynamo.utils import counters

from tests.cuda.runs import train, write_data
from vse.files import read_json_lines
from vse.losses.table import OBJECTIVES

FAST = ("tal", "lmh --warmup_epochs 1")
MOST_GRAPHS = 8
"""In two epochs; the last batch of an epoch is smaller, a warm-up is another objective."""


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(loss, marks=() if loss in FAST else pytest.mark.cuda_whole)
        for loss in dict.fromkeys([*FAST, *OBJECTIVES, "lmh --false_negatives gist", "infonce --same_image positive"])
    ],
)
def test_a_compiled_objective_is_a_few_whole_graphs(loss: str, tmp_path: Path) -> None:
    data, compiler = write_data(tmp_path), torch.compile
    flags = f"--batch_size 18 --loss {loss}"
    train("vsepp", data, tmp_path / "plain", flags, device="cpu")
    torch._dynamo.reset()
    counters.clear()
    with mock.patch("torch.compile", lambda work, **more: compiler(work, backend="eager", **more)):
        train("vsepp", data, tmp_path / "compiled", f"{flags} --compile", device="cpu")
    assert 1 <= counters["stats"]["unique_graphs"] <= MOST_GRAPHS
    assert not counters["graph_break"]
    plain, compiled = (
        [row["loss"] for row in read_json_lines(tmp_path / run / "metrics.jsonl") if row["kind"] == "train"]
        for run in ("plain", "compiled")
    )
    assert compiled == pytest.approx(plain, rel=1e-5)
