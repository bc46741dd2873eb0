"""Plausible boxes of regions: corners in order, inside the picture, in pixels or relative to its size."""

from __future__ import annotations

import numpy as np

MARGIN = 0.02
"""Boxes may lie outside a picture by this share of its side and a pixel: some extractors round."""


def disordered(corners: np.ndarray) -> np.ndarray:
    """[...] whether boxes [..., 4] hold NaN or have their right or lower edge first."""
    extent = corners[..., 2:].astype(np.float64) - corners[..., :2]
    return ~(extent >= 0).all(axis=-1)


def relative(corners: np.ndarray) -> bool:
    """Whether boxes all lie in 0 ... 1, which no boxes in pixels do."""
    return bool(corners.size and corners.min() >= 0 and corners.max() <= 1 + 1e-4)


def outside(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[...] whether boxes [..., 4] in pixels leave pictures of these widths and heights [..., 2]."""
    margin = MARGIN * sizes + 1
    beyond = (corners[..., :2] < -margin) | (corners[..., 2:] > sizes + margin)
    return np.asarray(beyond.any(axis=-1))
