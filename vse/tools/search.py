"""`python -m vse search INDEX "a dog on the grass"`: the pictures that fit a sentence, or what fits a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from tabulate import tabulate

from vse.console import complain, say
from vse.data.images import open_picture
from vse.errors import InputError
from vse.evaluation.reports import save_json
from vse.inference.model import Model, load
from vse.search.find import Answer, find
from vse.search.store import Index, Side
from vse.tools.options import SearchOptions
from vse.tools.pages import embedded, save_page

THUMBNAIL = 320
"""Longer side of a picture on the page, in pixels."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark }
  body { font-family: sans-serif; margin: 1rem auto; max-width: 1600px; padding: 0 1rem }
  ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 12px; padding: 0;
       list-style: none }
  ol.captions { display: block }
  img { max-width: 100%; height: auto; border-radius: 4px }
  small { opacity: 0.7; overflow-wrap: anywhere }
  .query img { max-width: 240px }
</style>
<h1>{{ title }}</h1>
{%- for answer in answers %}
<section><h2>{{ answer.query }}</h2>
{%- if answer.picture %}<p class="query"><img alt="the query" src="{{ answer.picture }}"></p>{% endif %}
<p><small>{{ answer.how }}</small></p>
<ol class="{{ answer.find }}">
{%- for hit in answer.hits %}
<li>{% if hit.shown %}<img alt="{{ hit.name }}" src="{{ hit.shown }}"><br>{% endif -%}
{{ hit.rank }}. {{ hit.name }} <small>{{ "%.4f" | format(hit.score) }}</small></li>
{%- endfor %}
</ol></section>
{%- endfor %}
</html>
"""


def main(options: SearchOptions) -> None:
    """Answer every query.

    Raises:
        InputError: no such index, a model of other weights, or a query that cannot be read.
    """
    index = Index(Path(options.index))
    model = load(options.model or str(index.head.get("model")), options.device)
    index.check(model.digest)
    model.extraction = index.head.get("extraction") or model.extraction
    answers = []
    for query, picture in _queries(options):
        try:
            answers.append(_answer(options, model, index, query, picture))
        except InputError as problem:
            if options.query or options.image:
                raise
            complain(f"error: {problem}")  # the prompt goes on
            continue
        _print(answers[-1])
    if options.json is not None:
        content = [{**answer, "hits": [_plain(hit) for hit in answer["hits"]]} for answer in answers]
        save_json(options.json, {"index": options.index, "weights_sha256": model.digest, "answers": content})
    if options.page is not None:
        save_page(options.page, PAGE, title=f"Search in {Path(options.index).name}", answers=_shown(answers))
        say(f"page: {options.page}")


def _queries(options: SearchOptions) -> Iterator[tuple[str, bool]]:
    """Go through sentences and pictures, (text or path, whether it is a picture)."""
    if options.query or options.image:
        yield from ((query, False) for query in options.query)
        yield from ((path, True) for path in options.image)
        return
    say("a sentence a line; an empty line or the end of the input ends the search")
    while True:
        sys.stdout.write("> ")
        sys.stdout.flush()
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line, False


def _answer(options: SearchOptions, model: Model, index: Index, query: str, picture: bool) -> dict[str, Any]:
    if not query.strip():
        raise InputError("an empty query; give a sentence in quotes")
    side: Side = options.find or ("captions" if picture and index.rows("captions") else "images")
    encoded = model.encode_images([query]) if picture else model.encode_text(query)
    query_side: Side = "images" if picture else "captions"
    found: Answer = find(model, index, side, encoded, query_side, options.k, options.candidates, options.exact)
    unknown = [] if picture else model.unknown_words([query])
    hits = [
        {"rank": rank, "name": hit.item.name, "score": hit.score, "key": hit.item.key, "picture": hit.item.picture}
        for rank, hit in enumerate(found.hits, 1)
    ]
    return {
        "query": query,
        "by": "picture" if picture else "sentence",
        "find": side,
        "how": found.how,
        "unknown_words": unknown,
        "hits": hits,
    }


def _print(answer: dict[str, Any]) -> None:
    rows = [[hit["rank"], f"{hit['score']:.4f}", hit["name"]] for hit in answer["hits"]]
    headers = ["", "score", "image" if answer["find"] == "images" else "caption"]
    table = tabulate(rows, headers=headers, disable_numparse=True)
    say(f"{answer['query']}  ({answer['how']})\n{table}\n")


def _plain(hit: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hit.items() if value is not None}


def _shown(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to answers the pictures as the page shows them."""
    shown = []
    for answer in answers:
        hits = [{**hit, "shown": _thumbnail(hit["picture"])} for hit in answer["hits"]]
        picture = _thumbnail(answer["query"]) if answer["by"] == "picture" else None
        shown.append({**answer, "hits": hits, "picture": picture})
    return shown


def _thumbnail(path: str | None) -> str | None:
    """Read a picture for the page; None where it is gone, and the page shows the name alone."""
    if path is None or not Path(path).is_file():
        return None
    picture: Image.Image = open_picture(Path(path), upright=True)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return embedded(picture, "JPEG")
