"""`python -m vse search INDEX "a dog on the grass"`: find images for a sentence, captions or images for a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from vse.console import complain, printable, say
from vse.data.images import open_picture
from vse.errors import InputError
from vse.evaluation.reports import save_json
from vse.files import check_writable
from vse.inference.extraction import of_index
from vse.inference.model import Model, load
from vse.search.find import Answer, find
from vse.search.store import Index, Side
from vse.tools.options import SearchOptions
from vse.tools.pages import Album, save_page
from vse.tools.search_page import PAGE


def main(options: SearchOptions) -> None:
    """Answer every query.

    Raises:
        InputError: no such index, a model of other weights, or a query that cannot be read.
    """
    check_writable(options.json, options.page)
    index = Index(Path(options.index))
    model = load(options.model or str(index.head.get("model")), options.device, features=options.features)
    index.check(model.digest)
    model.extraction = of_index(
        index.head.get("extraction"), model.extraction, options.features is not None, index.folder
    )
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
        say(f"answers: {options.json}")
    if options.page is not None:
        missing = _save_page(options.page, f"Search in {Path(options.index).name}", answers)
        say(
            f"page: {options.page}{f', without the pictures of {missing} images, which were not found' * bool(missing)}"
        )


def _queries(options: SearchOptions) -> Iterator[tuple[str, bool]]:
    """Go through sentences and pictures, (text or path, whether it is a picture)."""
    if options.query or options.image:
        yield from ((query, False) for query in options.query)
        yield from ((path, True) for path in options.image)
        return
    say("one sentence per line; an empty line ends the search")
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
    rows = [[hit["rank"], f"{hit['score']:.4f}", printable(hit["name"])] for hit in answer["hits"]]
    headers = ["", "score", "image" if answer["find"] == "images" else "caption"]
    table = tabulate(rows, headers=headers, disable_numparse=True)
    say(f"{printable(answer['query'])}  ({answer['how']})\n{table}\n")


def _plain(hit: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hit.items() if value is not None}


def _save_page(path: str, title: str, answers: list[dict[str, Any]]) -> int:
    """Write the page, and return how many images it shows by their names alone, because their pictures are gone."""
    album = Album()
    numbers: dict[str, int] = {}

    def shown(picture: str | None, alt: str) -> dict[str, str] | None:
        if picture is None or not Path(picture).is_file():
            return None
        number = numbers.setdefault(picture, len(numbers))
        return album.add(f"picture{number}", open_picture(Path(picture), upright=True), alt)

    listed = []
    for number, answer in enumerate(answers, 1):
        hits = [{**hit, "shown": shown(hit["picture"], hit["name"])} for hit in answer["hits"]]
        query = shown(answer["query"], Path(answer["query"]).name) if answer["by"] == "picture" else None
        listed.append({**answer, "hits": hits, "shown": query, "anchor": f"query{number}"})
    save_page(
        path,
        PAGE,
        title=title,
        sections=[(answer["anchor"], answer["query"]) for answer in listed],
        album=album,
        answers=listed,
    )
    return sum(hit["shown"] is None for answer in listed if answer["find"] == "images" for hit in answer["hits"])
