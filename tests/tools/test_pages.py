"""Pages hold their pictures, and text in them stays text."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from vse.errors import InputError
from vse.tools.pages import LARGE, Album, embedded, save_page


def test_an_embedded_picture_is_read_back() -> None:
    picture = Image.new("RGB", (3, 2), (10, 200, 30))
    head, content = embedded(picture, "PNG").split(",")
    assert head == "data:image/png;base64"
    read = Image.open(io.BytesIO(base64.b64decode(content)))
    assert (read.size, read.getpixel((2, 1))) == ((3, 2), (10, 200, 30))


def test_a_picture_shown_twice_is_on_the_page_once_and_large() -> None:
    album, picture = Album(), Image.new("RGB", (2 * LARGE, LARGE))
    first, second = (album.add("image7", picture, "image 7") for _ in range(2))
    assert first is second
    assert [large["anchor"] for large in album.large] == ["image7"]
    content = album.large[0]["source"].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (LARGE, LARGE // 2)
    assert picture.size == (2 * LARGE, LARGE)


def test_markup_in_values_is_text(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    save_page(path, "<p title='{{ text }}'>{{ text }}</p>", text="<b>'é")
    assert path.read_text("utf-8") == "<p title='&lt;b&gt;&#39;é'>&lt;b&gt;&#39;é</p>\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent.*page\.html"):
        save_page(tmp_path / "absent" / "page.html", "")
