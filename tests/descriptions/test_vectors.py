"""Rows of rounding errors become zero."""

from __future__ import annotations

import numpy as np

from vse.descriptions.vectors import silence_noise


def test_rows_of_rounding_errors_become_zero_in_place() -> None:
    vectors = np.array([[1e-7, 1e-7], [1e-5, 0], [0, 0], [1, -1]], np.float32)
    assert silence_noise(vectors) is vectors
    np.testing.assert_array_equal(vectors, np.array([[0, 0], [1e-5, 0], [0, 0], [1, -1]], np.float32))
