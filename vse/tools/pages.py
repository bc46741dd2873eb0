"""HTML pages that need no script and no other file: one look, pictures that enlarge, all values escaped."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, Literal

from jinja2 import DictLoader, Environment
from PIL import Image

from vse.files import write_atomically

THUMBNAIL = 224
"""Longer side of a thumbnail, in pixels."""

LARGE = 720
"""Longer side of the picture that a thumbnail enlarges to, in pixels."""

BASE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark; --text: #1c1c1e; --soft: #5c5c64; --page: #fff; --card: #f4f4f6; --line: #d4d4da;
          --right: #1a7f37; --similar: #8a5a00; --wrong: #b3261e; --link: #0b57d0 }
  @media (prefers-color-scheme: dark) {
    :root { --text: #ececf0; --soft: #a4a4ae; --page: #16161a; --card: #232329; --line: #3c3c45;
            --right: #4cc26a; --similar: #e3a93b; --wrong: #ff8a80; --link: #8ab4f8 }
  }
  * { box-sizing: border-box }
  html { scroll-padding-top: 3.5rem }
  body { margin: 0; font: 16px/1.45 system-ui, sans-serif; color: var(--text); background: var(--page);
         overflow-wrap: anywhere }
  a { color: var(--link) }
  nav { position: sticky; top: 0; z-index: 1; padding: .5rem 1rem; background: var(--page);
        border-bottom: 1px solid var(--line); display: flex; gap: .25rem 1rem; overflow-x: auto; white-space: nowrap }
  main { max-width: 1600px; margin: 0 auto; padding: 0 1rem 3rem }
  h1 { font-size: 1.5rem; overflow-wrap: anywhere }
  h2 { margin-top: 2.5rem; border-bottom: 2px solid var(--line) }
  h3 { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere }
  small, .soft { color: var(--soft); font-size: .85rem }
  table { border-collapse: collapse; overflow-wrap: normal }
  th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; font-weight: normal }
  th:first-child, td:first-child { text-align: left }
  .wide { overflow-x: auto }
  dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1rem; margin: 1rem 0 }
  dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
  @media (max-width: 600px) {
    dl { display: block } dd { margin-bottom: .5rem } th, td { padding: .25rem .4rem; font-size: .85rem }
  }
  .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(45%, 200px), 1fr)); gap: .75rem;
          margin: .75rem 0 }
  figure { margin: 0; padding: .5rem; background: var(--card); border: 3px solid var(--card); border-radius: 8px;
           font-size: .85rem; overflow-wrap: anywhere }
  figure img { display: block; width: 100%; height: 150px; object-fit: contain; border-radius: 4px }
  figcaption { margin-top: .35rem }
  .none { display: block; min-height: 140px; padding: .5rem; border: 1px dashed var(--line); border-radius: 4px }
  .large { display: none }
  .large:target { display: flex; flex-direction: column; align-items: center; gap: .5rem; position: fixed; inset: 0;
                  z-index: 2; padding: 1rem; overflow-y: auto; background: var(--page) }
  .large img { max-width: 100%; max-height: 75vh; object-fit: contain }
  .large ul { margin: 0; padding-left: 1.2rem; max-width: 60rem }
{% block style %}{% endblock %}
</style>
</head>
<body>
<nav id="top">
<a href="#top">Top</a>
{%- for anchor, text in sections %}
<a href="#{{ anchor }}">{{ text | truncate(60) }}</a>
{%- endfor %}
</nav>
<main>
<h1>{{ title }}</h1>
{% block content %}{% endblock %}
</main>
{%- for picture in album.large %}
<div class="large" id="{{ picture.anchor }}">
<a href="#closed">Close</a>
<a href="#closed"><img alt="{{ picture.alt }}" src="{{ picture.source }}"></a>
<div><b>{{ picture.alt }}</b>
<ul>{% for line in picture.lines %}<li>{{ line }}</li>{% endfor %}</ul></div>
</div>
{%- endfor %}
</body>
</html>
"""

MACROS = """
{%- macro thumbnail(picture) -%}
<a href="#{{ picture.anchor }}"><img alt="{{ picture.alt }}" src="{{ picture.thumbnail }}"></a>
{%- endmacro -%}
"""


class Album:
    """The pictures of a page: a thumbnail wherever one is shown, and once the large picture that it opens.

    A template of `save_page` gets it as `album` and shows what `add` returns by the macro `thumbnail`.
    """

    def __init__(self) -> None:
        self.large: list[dict[str, Any]] = []
        self._added: dict[str, dict[str, str]] = {}

    def add(
        self,
        anchor: str,
        picture: Image.Image,
        alt: str,
        lines: list[str] | None = None,
        kind: Literal["PNG", "JPEG"] = "JPEG",
    ) -> dict[str, str]:
        """Put a picture on the page, once for each anchor, with lines of text under the large one."""
        if anchor not in self._added:
            large, small = picture.copy(), picture.copy()
            large.thumbnail((LARGE, LARGE))
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            self.large.append({"anchor": anchor, "alt": alt, "source": embedded(large, kind), "lines": lines or []})
            self._added[anchor] = {"anchor": anchor, "alt": alt, "thumbnail": embedded(small, kind)}
        return self._added[anchor]


def embedded(picture: Image.Image, kind: Literal["PNG", "JPEG"]) -> str:
    """Encode a picture as the `src` of an `<img>`."""
    content = io.BytesIO()
    picture.save(content, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def save_page(path: str | Path, template: str, **values: Any) -> None:
    """Write a Jinja template, filled in; markup in the values is text. The file appears whole or not at all.

    A template that extends `base` fills its blocks `style` and `content`, and gives `title`, and where it has them
    `sections` (pairs of anchor and text, for the navigation) and `album`.

    Raises:
        InputError: it cannot be written.
    """
    environment = Environment(autoescape=True, loader=DictLoader({"base": BASE, "macros": MACROS}))
    page = environment.from_string(template).render({"sections": [], "album": Album(), **values})
    write_atomically(path, lambda file: file.write(f"{page}\n".encode()))
