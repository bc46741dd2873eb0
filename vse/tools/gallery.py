"""`python -m vse gallery SIMILARITIES`: a page that shows what a network retrieves, and where it goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import tyro
from torch import Tensor

from vse.console import say
from vse.data.datasets import Split, locate_data_set
from vse.data.images import CropTransform, features_or_pictures, picture_of
from vse.errors import InputError
from vse.evaluation.ranking import Ranks, nearest, ranks
from vse.evaluation.scoring import load_similarities
from vse.ranges import AtLeast1
from vse.tools.pages import embedded, save_page

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
  {%- if image.picture %}<img alt="image {{ image.number }}" src="{{ image.picture }}">
  {%- else %}<em>{{ image.caption }}</em>{% endif -%}
{%- endmacro %}
<h1>{{ title }}</h1>
<p>Right answers are framed in green. {{ note }}</p>
<h2>Images for a caption</h2>
{%- for query in by_caption %}
<section><p>{{ query.text }} <small>caption {{ query.number }}; its image is at rank {{ query.rank }}</small></p>
{%- for image in query.found %}
<figure{% if image.right %} class="right"{% endif %}>{{ picture(image) }}
<br><small>image {{ image.number }}, {{ "%.3f" | format(image.score) }}</small></figure>
{%- endfor %}
</section>
{%- endfor %}
<h2>Captions for an image</h2>
{%- for query in by_image %}
<section><figure>{{ picture(query) }}</figure>
<small>image {{ query.number }}; the first of its captions is at rank {{ query.rank }}</small>
<ol>
{%- for caption in query.found %}
<li{% if caption.right %} class="right"{% endif %}>{{ caption.text }} {# -#}
<small>{{ "%.3f" | format(caption.score) }}</small></li>
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
    queries: AtLeast1 = 20
    """Queries in each direction, spread evenly over the split."""
    answers: AtLeast1 = 5
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
    scores = load_similarities(options.similarities)
    folder = locate_data_set(options.data_path, options.data_name)
    split = features_or_pictures(CropTransform())(folder, options.split)
    if len(scores) != len(split.images):
        raise InputError(
            f"{options.similarities}: [{', '.join(map(str, scores.shape))}] scores, but the {split.name} split of "
            f"{folder} has {len(split.images)} images and {len(split.captions)} captions; "
            "name what was evaluated by --data_path, --data_name and --split"
        )
    rank = ranks(scores, split.caption_image)
    captions = _spread(rank.text_to_image, options)
    images = _spread(rank.image_to_text, options)
    answers = min(options.answers, *scores.shape)
    save_page(
        options.out,
        PAGE,
        title=f"{options.similarities} on {folder.name} {split.name}",
        note="Only queries whose best answer is wrong are shown." if options.failures else "",
        width=THUMBNAIL + 8,
        by_caption=[_images_for(int(caption), split, scores, rank, answers) for caption in captions],
        by_image=[_captions_for(int(place), split, scores, rank, answers) for place in images],
    )
    say(f"{len(captions)} captions and {len(images)} images, the best {answers} answers each: {options.out}")


def _images_for(caption: int, split: Split, scores: Tensor, rank: Ranks, answers: int) -> dict[str, Any]:
    """Describe a caption as the page shows it, and the images retrieved for it."""
    column, own = scores[:, caption], split.caption_image[caption]
    found = [
        _image(image, split) | {"right": image == own, "score": float(column[image])}
        for image in nearest(column[None], answers)[0].tolist()
    ]
    position = int(rank.text_to_image[caption]) + 1
    return {"number": caption, "text": split.captions[caption], "rank": position, "found": found}


def _captions_for(place: int, split: Split, scores: Tensor, rank: Ranks, answers: int) -> dict[str, Any]:
    """Describe an image, by its place among those that have captions, and the captions retrieved for it."""
    image = int(np.unique(split.caption_image)[place])
    found = [
        {
            "text": split.captions[caption],
            "right": split.caption_image[caption] == image,
            "score": float(scores[image, caption]),
        }
        for caption in nearest(scores[image, None], answers)[0].tolist()
    ]
    return _image(image, split) | {"rank": int(rank.image_to_text[place]) + 1, "found": found}


def _spread(rank: np.ndarray, options: Options) -> np.ndarray:
    """Positions of the queries to show, given all queries' ranks."""
    candidates = np.flatnonzero(rank > 0) if options.failures else np.arange(len(rank))
    chosen = np.linspace(0, len(candidates) - 1, min(options.queries, len(candidates)))
    return candidates[chosen.round().astype(np.int64)]


def _image(image: int, split: Split) -> dict[str, Any]:
    """Describe an image as the page shows it: its picture, or its first caption where the data set has no pictures."""
    picture = picture_of(split, image)
    if picture is None:
        own = np.flatnonzero(split.caption_image == image)
        caption = split.captions[own[0]] if len(own) else "no picture, no caption"
        return {"number": image, "caption": caption}
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return {"number": image, "picture": embedded(picture, "JPEG")}
