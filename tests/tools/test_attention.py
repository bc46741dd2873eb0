"""What is drawn: the image and the caption that the options name, or a sentence about why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.datasets import Split
from vse.errors import InputError
from vse.tools.attention import _choose
from vse.tools.attention_options import AttentionOptions as Options


@pytest.fixture
def split() -> Split:
    """Three images; the second has no caption."""
    captions = ["a dog", "a cat", "a boat"]
    return Split("test", Path("x_precomp/test_caps.txt"), captions, [None] * 3, np.array([0, 0, 2]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (Options(), (0, "a dog")),
        (Options(image=2), (2, "a boat")),
        (Options(image=1, caption=1), (1, "a cat")),
        (Options(image=1, text="two boats"), (None, "two boats")),
    ],
)
def test_the_caption_is_the_images_first_or_the_one_named(options: Options, chosen: object, split: Split) -> None:
    assert _choose(options, split) == chosen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(image=3), "x_precomp test has images 0 to 2"),
        (Options(caption=3), "x_precomp test has captions 0 to 2"),
        (Options(image=1), "has no caption of it; give one with --caption or --text"),
        (Options(caption=0, text="a dog"), "give one of them"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: Options, words: str, split: Split) -> None:
    with pytest.raises(InputError, match=words):
        _choose(options, split)
