"""The gallery page: verdicts of answers, and captions that stay text wherever they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vse.tools.gallery_page import PAGE
from vse.tools.pages import Album, save_page

HOSTILE = '"><script>alert(1)</script>'


def image(number: int, **answer: Any) -> dict[str, Any]:
    """An image without a picture, as it answers a caption."""
    values = {"number": number, "picture": None, "captions": [HOSTILE], "score": 0.5, "closest": HOSTILE}
    return {**values, "right": False, "similar": False, "likeness": None, **answer}


def page(path: Path, *answers: dict[str, Any]) -> str:
    query = {"number": 3, "text": HOSTILE, "rank": 1, "wanted": image(7), "found": answers}
    caption = {"text": HOSTILE, "rank": 1, "score": 0.5, "right": False, "similar": False, "likeness": None}
    asked = {**image(7), "rank": 2, "own": [caption], "found": [caption]}
    texts = dict.fromkeys(("title", "note", "summary", "meaning", "pictures"), HOSTILE)
    shown = {**texts, "table": [[HOSTILE], [HOSTILE]], "trained": [(HOSTILE, HOSTILE)]}
    save_page(path, PAGE, by_caption=[query], by_image=[asked], album=Album(), sections=[(HOSTILE, HOSTILE)], **shown)
    return path.read_text("utf-8")


def test_markup_in_captions_and_names_stays_text(tmp_path: Path) -> None:
    assert "<script>alert(1)" not in page(tmp_path / "page.html", image(1))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"right": True, "similar": True}, '<b class="right">right</b>'),
        ({"similar": True, "likeness": 0.876}, '<b class="similar">similar in meaning 0.88</b>'),
        ({"likeness": 0.1}, '<b class="wrong">wrong</b> <small>likeness 0.10</small>'),
        ({}, '<b class="wrong">wrong</b><br>'),
    ],
)
def test_an_answer_is_right_similar_or_wrong(tmp_path: Path, answer: dict[str, Any], verdict: str) -> None:
    assert f"1. {verdict}" in page(tmp_path / "page.html", image(1, **answer))


def test_an_image_without_picture_and_captions_says_so(tmp_path: Path) -> None:
    assert "no picture; no caption" in page(tmp_path / "page.html", image(1, captions=[]))
