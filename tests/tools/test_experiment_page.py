"""The page of an experiment's report: what it is given stays text, and a narrow screen holds it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.tools.browser import look
from vse.tools.experiment_page import PAGE
from vse.tools.pages import save_page

HOSTILE = '"><script>alert(1)</script>'


def write(path: Path) -> Path:
    part = SimpleNamespace(data=HOSTILE, heads=[HOSTILE] * 12, cells=[[HOSTILE] * 12], figures=[])
    part.difference_heads, part.difference_cells = [HOSTILE], [[HOSTILE]]
    texts = {"title": HOSTILE, "differences_note": HOSTILE, "notes": [HOSTILE], "commands": [HOSTILE]}
    save_page(path, PAGE, parts=[part], sections=[("data0", HOSTILE)], **texts)
    return path


def test_markup_in_names_and_cells_stays_text(tmp_path: Path) -> None:
    assert "<script>alert(1)" not in write(tmp_path / "page.html").read_text("utf-8")


def test_a_wide_table_scrolls_within_a_narrow_page(tmp_path: Path) -> None:
    content, pictures, _, _ = look(write(tmp_path / "page.html"), 360)
    assert (content, pictures) == (360, 0)
