"""What all pages share: escaping, pictures that enlarge, and how a real browser shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.tools.browser import look
from vse.tools.pages import Album, save_page

TEMPLATE = """{% extends "base" %}{% from "macros" import thumbnail %}
{% block content %}<div class="grid">
{% for picture in pictures %}<figure>{{ thumbnail(picture) }}{{ text }}</figure>{% endfor %}</div>{% endblock %}"""

HOSTILE = "<script>document.body.innerHTML = ''</script>\"' & <b>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    album = Album()
    pictures = [
        album.add(f"p{number}", Image.new("RGB", (1000, 500), "teal"), HOSTILE, [HOSTILE, "x" * 300])
        for number in (0, 1, 1)
    ]
    path = tmp_path / "page.html"
    sections = [("top", HOSTILE)]
    save_page(path, TEMPLATE, title=HOSTILE, sections=sections, album=album, pictures=pictures, text="y" * 300)
    return path


def test_values_are_escaped_and_nothing_is_fetched(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>&lt;script&gt;" in text  # the caption of a large picture, in the template's own markup
    assert not re.findall(r'(?:src|href)="(?!data:image/|#)', text)


def test_a_picture_enlarges_to_one_copy(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'class="large" id="(.*?)"', text) == ["p0", "p1"]
    assert re.findall(r'<a href="#(p\d)">', text) == ["p0", "p1", "p1"]


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_a_browser_shows_it_at_any_width(page: Path, width: int) -> None:
    content, pictures, broken, enlarged = look(page, width)
    assert content <= width
    assert pictures == 3 + 2
    assert (broken, enlarged) == (0, 0)


def test_a_link_enlarges_a_picture_in_a_browser(page: Path) -> None:
    assert look(page, 800, "#p1")[3] == 1
