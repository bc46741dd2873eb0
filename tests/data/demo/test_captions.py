"""Captions of demo scenes: different within a picture, and about what is there."""

from __future__ import annotations

import random

from vse.data.demo.captions import describe
from vse.data.demo.kinds import COLOURS, KINDS
from vse.data.demo.scenes import compose


def test_captions_differ_within_a_picture_and_name_what_is_there() -> None:
    for number in range(200):
        rng = random.Random(number)
        scene = compose(rng)
        captions = describe(scene, rng)
        assert len(set(captions)) == 5
        present = " ".join(captions).lower()
        nouns = {noun for thing in scene.things[:2] for noun in KINDS[thing.kind].nouns + KINDS[thing.kind].general}
        assert any(noun in present for noun in nouns | {"boy", "girl", "kid", "animals", "people", "vehicles"})
        for caption in captions:
            assert caption[0].isupper()
            assert caption.endswith(".")


def test_no_colour_is_named_that_nothing_in_the_scene_has() -> None:
    for number in range(200):
        rng = random.Random(number)
        scene = compose(rng)
        own = {thing.colour for thing in scene.things} | {"green", "blue", "brown"}  # settings are described, too
        words = set(" ".join(describe(scene, rng)).lower().replace(".", "").split())
        assert words & set(COLOURS) <= own, scene
