"""The page of answers: pictures that enlarge, captions, what is missing, at every width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.tools.browser import look
from vse.tools.pages import Album, save_page
from vse.tools.search_page import PAGE

HOSTILE = '"><script>alert(1)</script>'


def write(path: Path) -> Path:
    album = Album()
    shown = album.add("picture0", Image.new("RGB", (30, 20)), HOSTILE)
    hits: list[dict[str, Any]] = [{"rank": 1, "name": HOSTILE, "score": 0.5, "shown": shown}]
    hits.append({**hits[0], "rank": 2, "shown": None})
    answer = {"query": HOSTILE, "how": HOSTILE, "unknown_words": [HOSTILE], "hits": hits, "shown": None}
    images = {**answer, "find": "images", "anchor": "query1"}
    captions = {**answer, "find": "captions", "anchor": "query2", "shown": shown}
    sections = [("query1", HOSTILE), ("query2", HOSTILE)]
    save_page(path, PAGE, title=HOSTILE, sections=sections, album=album, answers=[images, captions])
    return path


def test_markup_in_queries_and_names_stays_text(tmp_path: Path) -> None:
    text = write(tmp_path / "page.html").read_text("utf-8")
    assert "<script>alert(1)" not in text
    assert text.count("no picture") == 1


@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_and_its_pictures_enlarge(tmp_path: Path, width: int) -> None:
    page = write(tmp_path / "page.html")
    assert look(page, width) == (width, 4, 0, 0)
    assert look(page, width, "#picture0") == (width, 4, 0, 1)
