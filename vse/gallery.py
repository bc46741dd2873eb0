"""`python -m vse gallery SIMILARITIES`: a page that shows what a network retrieves, and where it goes wrong."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import tyro
from jinja2 import Environment

from vse.datasets import Split, find_data_set, open_split
from vse.errors import InputError
from vse.files import write_atomically
from vse.images import CropTransform, open_pictures, picture_of
from vse.options import say
from vse.pictures import holds_pictures
from vse.ranking import nearest, ranks
from vse.similarity import load_similarities

THUMBNAIL = 160
"""Longer side of a picture on the page, in pixels."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
  body { font-family: sans-serif; margin: 1.5em; color: #222 }
  section { margin: 1.2em 0; border-top: 1px solid #ccc }
  figure { display: inline-block; vertical-align: top; width: {{ width }}px; margin: 4px; padding: 4px;
           border: 3px solid transparent; font-size: small }
  .right { border-color: #2a2; background: #efe }
  li { padding: 2px 6px; border-left: 3px solid transparent } li.right { border-color: #2a2 }
  small { color: #777 }
</style>
{%- macro picture(image) -%}
  {%- if image.data %}<img alt="image {{ image.number }}" src="data:image/jpeg;base64,{{ image.data }}">
  {%- else %}<em>{{ image.caption }}</em>{% endif -%}
{%- endmacro %}
<h1>{{ title }}</h1>
<p>Right answers are framed in green. {{ note }}</p>
<h2>Images for a caption</h2>
{%- for query in by_caption %}
<section><p>{{ query.text }} <small>caption {{ query.number }}; its image is at rank {{ query.rank }}</small></p>
{%- for image in query.found %}
<figure{% if image.right %} class="right"{% endif %}>{{ picture(image) }}
<br><small>image {{ image.number }}, {{ image.score }}</small></figure>
{%- endfor %}
</section>
{%- endfor %}
<h2>Captions for an image</h2>
{%- for query in by_image %}
<section><figure>{{ picture(query) }}</figure>
<small>image {{ query.number }}; the first of its captions is at rank {{ query.rank }}</small>
<ol>
{%- for caption in query.found %}
<li{% if caption.right %} class="right"{% endif %}>{{ caption.text }} <small>{{ caption.score }}</small></li>
{%- endfor %}
</ol></section>
{%- endfor %}
</html>
"""


@dataclass
class Options:
    """Show what a network retrieves: a page of queries and their best answers, right ones framed."""

    similarities: Annotated[str, tyro.conf.Positional]
    """The .npy file that an evaluation script wrote with --save_similarities."""
    data_path: str | None = None
    """Folder that holds the data set folders; default: the repository's data/ folder."""
    data_name: str | None = None
    """Data set that was evaluated; without --data_path and --data_name the embedded demo."""
    split: str = "test"
    """Split that was evaluated."""
    queries: int = 20
    """Queries in each direction, spread evenly over the split."""
    answers: int = 5
    """Best answers to each query."""
    failures: bool = False
    """Only queries whose best answer is wrong."""
    out: str = "gallery.html"
    """The page; it holds its pictures and needs no other file."""


def main(options: Options) -> None:
    """Write the page.

    Raises:
        InputError: the scores cannot be read or are not those of the split.
    """
    if options.queries < 1 or options.answers < 1:
        raise InputError("--queries and --answers count what is shown: give at least 1 of each")
    scores = load_similarities(options.similarities)
    folder = find_data_set(options.data_path, options.data_name)
    if (folder / f"{options.split}_ims.npy").exists() or not holds_pictures(folder):
        split = open_split(folder, options.split)
    else:
        split = open_pictures(folder, options.split, CropTransform())
    if len(scores) != split.images.images:
        raise InputError(
            f"{options.similarities}: [{', '.join(map(str, scores.shape))}] scores, but the {split.name} split of "
            f"{folder} has {split.images.images} images and {len(split.captions)} captions; "
            "name what was evaluated by --data_path, --data_name and --split"
        )
    rank = ranks(scores, split.caption_image)
    described = np.unique(split.caption_image)
    captions = _spread(rank.text_to_image, options)
    images = _spread(rank.image_to_text, options)

    answers = min(options.answers, *scores.shape)
    by_caption = [
        {
            "number": int(caption),
            "text": split.captions[caption],
            "rank": int(rank.text_to_image[caption]) + 1,
            "found": [
                _image(split, image) | {"right": image == split.caption_image[caption], "score": _score(score)}
                for image, score in zip(found, scores[found, caption], strict=True)
            ],
        }
        for caption, found in zip(captions, nearest(scores[:, captions].T, answers).tolist(), strict=True)
    ]
    by_image = [
        _image(split, int(described[row]))
        | {
            "rank": int(rank.image_to_text[row]) + 1,
            "found": [
                {
                    "text": split.captions[caption],
                    "right": split.caption_image[caption] == described[row],
                    "score": _score(score),
                }
                for caption, score in zip(found, scores[described[row], found], strict=True)
            ],
        }
        for row, found in zip(images, nearest(scores[described[images]], answers).tolist(), strict=True)
    ]
    template = Environment(autoescape=True).from_string(PAGE)
    page = template.render(
        title=f"{options.similarities} on {folder.name} {split.name}",
        note="Only queries whose best answer is wrong are shown." if options.failures else "",
        width=THUMBNAIL + 8,
        by_caption=by_caption,
        by_image=by_image,
    )
    write_atomically(options.out, lambda file: file.write(page.encode()))
    say(f"{len(by_caption)} captions and {len(by_image)} images, the best {answers} answers each: {options.out}")


def _spread(rank: np.ndarray, options: Options) -> np.ndarray:
    """Positions of the queries to show, given all queries' ranks."""
    candidates = np.flatnonzero(rank > 0) if options.failures else np.arange(len(rank))
    chosen = np.linspace(0, len(candidates) - 1, min(options.queries, len(candidates)))
    return candidates[chosen.round().astype(np.int64)]


def _image(split: Split, image: int) -> dict[str, Any]:
    """An image as the page shows it: its picture, or its first caption where the data set came without pictures."""
    picture = picture_of(split, image)
    if picture is None:
        own = np.flatnonzero(split.caption_image == image)
        caption = split.captions[own[0]] if len(own) else "no picture, no caption"
        return {"number": image, "caption": caption}
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return {"number": image, "data": base64.b64encode(content.getvalue()).decode("ascii")}


def _score(score: Any) -> str:
    return f"{float(score):.3f}"
