"""Scenes are functions of their random numbers."""

from __future__ import annotations

import random

from vse.data.demo.scenes import compose, inside


def test_a_scene_follows_from_its_number() -> None:
    first, again, other = (compose(random.Random(number)) for number in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_things_of_a_scene_are_within_the_picture() -> None:
    assert all(inside(thing) for number in range(50) for thing in compose(random.Random(number)).things)
