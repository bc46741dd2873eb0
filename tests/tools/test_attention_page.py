"""The attention page: what it is given stays text."""

from __future__ import annotations

from pathlib import Path

from vse.tools.attention_page import PAGE
from vse.tools.pages import Album, save_page

HOSTILE = '"><script>alert(1)</script>'


def test_markup_in_words_and_names_stays_text(tmp_path: Path) -> None:
    pair = [(HOSTILE, HOSTILE)]
    save_page(
        tmp_path / "page.html",
        PAGE,
        title=HOSTILE,
        sections=pair,
        album=Album(),
        facts=pair,
        note=HOSTILE,
        pictures=[],
        nodes=[HOSTILE],
        rows=[(HOSTILE, [((1, 2, 3), HOSTILE)])],
        meanings=pair,
    )
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count("&lt;script&gt;alert(1)") >= 9
    assert "<script>alert(1)" not in text
