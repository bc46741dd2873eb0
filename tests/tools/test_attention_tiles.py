"""Tiles of attention: where they are lit."""

from __future__ import annotations

import numpy as np

from vse.tools.attention_tiles import coverage, shade


def test_the_tile_is_lit_where_boxes_cover_it() -> None:
    inside = coverage(np.array([[0.0, 0.0, 4.0, 2.0], [2.0, 1.0, 3.0, 2.0]]), (4, 2))
    assert inside.shape == (2, 2, 4)
    assert inside[0].all()
    assert inside[1].tolist() == [[False] * 4, [False, False, True, False]]


def test_weights_below_zero_have_another_colour() -> None:
    assert shade(0.0, 1.0) == (255, 255, 255)
    assert shade(1.0, 1.0) == tuple(reversed(shade(-1.0, 1.0)))
