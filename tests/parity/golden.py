"""What the parity tests share: a file of numbers that a published implementation produced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


class GoldenFile:
    """One golden file: arrays by name, tensors by subscription, and what the original code was run with."""

    def __init__(self, family: str, name: str) -> None:
        with np.load(GOLDEN / family / f"{name}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.settings: dict[str, Any] = json.loads(str(self.arrays.get("config", "{}")))

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with the prefix, by the rest of their names."""
        return {key.removeprefix(prefix): self[key] for key in self.arrays if key.startswith(prefix)}

    def renamed(self, prefixes: dict[str, str]) -> dict[str, Tensor]:
        """Published prefix -> ours: those tensors by our names."""
        return {ours + key: tensor for theirs, ours in prefixes.items() for key, tensor in self.under(theirs).items()}


def relative(ours: Tensor, golden: Tensor | np.ndarray) -> float:
    """Largest difference, as a share of the largest golden entry."""
    wanted = torch.as_tensor(golden).double()
    return float((ours.detach().double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
