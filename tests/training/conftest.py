"""A run of VSE++ with few numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vse.options import DataOptions, with_values
from vse.training.runs import Run
from VSEpp_LSEH.train import Options


@pytest.fixture
def options(data_root: Path) -> Options:
    """VSE++ with few numbers, on a data set of 120 training captions."""
    sizes = {"embed_size": 8, "word_dim": 6, "loss": "sum_hinge"}
    data = DataOptions(data_path=str(data_root), data_name="small", batch_size=16)
    return with_values(Options(data=data), sizes)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", torch.device("cpu"))
