"""Regions of a demo picture and their features come from its pixels alone."""

from __future__ import annotations

import random

import numpy as np

from vse.data.demo.pictures import draw_scene
from vse.data.demo.regions import find_regions, intersection_over_union
from vse.data.demo.scenes import HEIGHT, WIDTH, compose


def test_features_follow_the_pixels_of_their_region_alone() -> None:
    rng = random.Random(1)
    pixels = np.array(draw_scene(compose(rng), rng))
    boxes, features = find_regions(pixels)
    assert features.shape == (36, 256)
    top_left = 1  # first of the 3 x 3 tiles
    changed = pixels.copy()
    changed[HEIGHT // 2 :, WIDTH // 2 :] = 255 - changed[HEIGHT // 2 :, WIDTH // 2 :]
    other_boxes, other = find_regions(changed)
    np.testing.assert_array_equal(boxes[:26], other_boxes[:26])
    np.testing.assert_allclose(features[top_left], other[top_left], atol=1e-5)
    assert np.abs(features[0] - other[0]).max() > 0.1


def test_overlap_is_the_share_of_the_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(intersection_over_union(boxes[0], boxes), [1, 1 / 3, 0])
