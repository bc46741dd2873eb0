"""Pictures of demo scenes."""

from __future__ import annotations

import random

import numpy as np

from vse.data.demo.pictures import draw_scene
from vse.data.demo.scenes import HEIGHT, WIDTH, compose


def test_a_picture_follows_from_its_scene() -> None:
    def draw(number: int) -> np.ndarray:
        rng = random.Random(number)
        return np.asarray(draw_scene(compose(rng), rng))

    assert draw(1).shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()
