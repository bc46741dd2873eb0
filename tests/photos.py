"""Photos of coarse noise, and a detector that is small enough for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image


def photo(width: int, height: int, seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height))


def tiny_detector() -> Any:
    """A detector of torchvision with random weights, always the same."""
    torch.manual_seed(0)
    build = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    return build(weights=None, weights_backbone=None, min_size=96, max_size=160).eval()
