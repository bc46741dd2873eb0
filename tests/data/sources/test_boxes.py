"""Boxes that cannot be: corners out of order, outside the picture."""

from __future__ import annotations

import numpy as np

from vse.data.sources.boxes import disordered, outside, relative


def test_disordered_boxes_and_nan_are_found() -> None:
    boxes = np.array([[1, 2, 3, 4], [3, 2, 1, 4], [1, 4, 3, 2], [1, 2, np.nan, 4], [5, 5, 5, 5]], np.float32)
    assert disordered(boxes).tolist() == [False, True, True, True, False]


def test_unsigned_corners_are_compared_without_wrapping() -> None:
    assert disordered(np.array([[30, 0, 10, 5]], np.uint16)).tolist() == [True]


def test_boxes_of_a_share_of_the_picture_are_relative() -> None:
    assert relative(np.array([[0, 0.2, 1, 1.00005]]))
    assert not relative(np.array([[0, 0.2, 1, 2]]))
    assert not relative(np.empty((0, 4)))


def test_boxes_may_leave_the_picture_by_what_rounding_does() -> None:
    size = np.array([100.0, 50.0])
    boxes = np.array([[-3, -2, 103, 52], [0, 0, 104, 50], [0, -2.1, 10, 10]])
    assert outside(boxes, size).tolist() == [False, True, True]
