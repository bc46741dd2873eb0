"""Draw what SGR or SAF makes of an image and a caption: where each word looks, and which words count.

    python visualize.py                                        the first test image and its first caption
    python visualize.py --image 12 --caption 63                caption 63 against image 12
    python visualize.py --image 12 --text "a red car on a street"

Writes a PNG and an HTML page to --out. A tile per word: a place is as bright as the word's attention to the most
attended region that covers it; the region with the largest share is framed. Where all is bright, the word looks
everywhere alike. The table below says which similarity vectors make the score: SAF's gates, or the edges by which SGR's
global node listens to all nodes, step by step.
"""

# What `python train.py` saves; ours or of the original code.
MODEL_PATH = "runs/demo_SAF/checkpoint/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from SGRAF_LSEH.model import SGRAF
from SGRAF_LSEH.network import FOLDER
from SGRAF_LSEH.nodes import TEMPERATURE
from SGRAF_LSEH.similarity import TextualRepresentations, VisualRepresentations
from vse.cli import run
from vse.console import say
from vse.data.batches import CaptionBatch, ImageBatch
from vse.data.boxes import read_boxes
from vse.data.datasets import Split
from vse.data.images import picture_of
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.scoring import evaluating
from vse.evaluation.script import open_models
from vse.files import writable_folder, write_atomically
from vse.nn.attention import attention_over_regions, inner_products
from vse.options import EvaluationOptions
from vse.ranges import AtLeast0
from vse.text.token_ids import encode
from vse.text.tokens import tokenise
from vse.tools.pages import embedded, save_page

TILE = 256
"""Longer side of a tile in pixels."""


@dataclass
class Options:
    """What to draw."""

    model_path: str = MODEL_PATH
    """Checkpoint of an SGR or a SAF."""
    data_path: str | None = DATA_PATH
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""
    data_name: str | None = None
    """Data set; default: the one the checkpoint was trained on."""
    vocab_path: str | None = None
    """Folder of the vocabulary, for a published checkpoint that carries none; default: the data set's own folder."""
    split: str | None = None
    """Split; default: test."""
    image: AtLeast0 = 0
    """Image, counted from 0 in the split."""
    caption: AtLeast0 | None = None
    """Caption, its line in the caption file counted from 0; default: the image's first."""
    text: str | None = None
    """A caption of your own in place of one of the split's."""
    out: str = "attention"
    """Folder of the PNG and the HTML page."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is there."""


class Reasoning(NamedTuple):
    """How a network scores one image and one caption of L tokens."""

    score: float
    attention: np.ndarray  # [L, R], each row sums to 1
    weights: dict[str, np.ndarray]  # name -> [1 + L], of the global node and the words' nodes, sums to 1


def reason(network: SGRAF, images: VisualRepresentations, captions: TextualRepresentations) -> Reasoning:
    """Attention, and SAF's gates or SGR's edges to the global node, of one encoded image and one encoded caption."""
    encoder = network.similarity_encoder
    weights: dict[str, torch.Tensor] = {}

    def see_gates(module: Any, inputs: Any) -> None:
        weights["gate"] = module.gates(*inputs)[0][0, 0]

    def see_edges(module: Any, inputs: Any) -> None:
        affinity, receivers, nodes, mask = inputs
        weights[f"step {len(weights) + 1}"] = module.edges(affinity, receivers[..., :1, :], nodes, mask)[0, 0, 0]

    watched = [(encoder.SAF_module, see_gates)] if encoder.filters else [(s, see_edges) for s in encoder.SGR_module]
    hooks = [module.register_forward_pre_hook(see) for module, see in watched]
    try:
        with evaluating(network):
            score = network.similarity(images, captions).item()
            attention = attention_over_regions(inner_products(images.features, captions.features), TEMPERATURE)[0, 0]
    finally:
        for hook in hooks:
            hook.remove()
    return Reasoning(score, attention.cpu().numpy(), {name: row.cpu().numpy() for name, row in weights.items()})


def boxes_on(split: Split, image: int, picture: Image.Image | None) -> tuple[np.ndarray, tuple[int, int]]:
    """Boxes [R, 4] of an image's regions in pixels of a tile, and the tile's width and height.

    Without boxes a regular grid stands in for them, which is said.
    """
    boxes = read_boxes(split, stand_in=True)
    corners = boxes.divided(np.array([image]))[0].numpy()
    width, height = boxes.sizes[image] if picture is None else picture.size
    scale = TILE / max(width, height)
    tile = max(1, round(width * scale)), max(1, round(height * scale))
    return corners * np.tile(tile, 2), tile


def coverage(corners: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """Boxes [R, 4] in pixels -> bool [R, height, width], True inside."""
    x, y = np.arange(tile[0]) + 0.5, np.arange(tile[1]) + 0.5
    left, top, right, bottom = (corners[:, k, None] for k in range(4))
    return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]


def tiles(
    reasoning: Reasoning, labels: list[str], corners: np.ndarray, size: tuple[int, int], picture: Image.Image | None
) -> list[Image.Image]:
    """Draw a tile for each word: the picture (or plain boxes) lit where the word looks, its best region framed."""
    base = Image.new("RGB", size, "white") if picture is None else picture.resize(size)
    pixels = np.asarray(base, dtype=np.float32)
    inside = coverage(corners, size)
    drawn = []
    for label, attention in zip(labels, reasoning.attention, strict=True):
        heat = np.where(inside, attention[:, None, None], 0).max(axis=0) / attention.max()
        tile = Image.fromarray((pixels * (0.15 + 0.85 * heat[..., None])).astype(np.uint8))
        draw = ImageDraw.Draw(tile)
        best = int(attention.argmax())
        box = np.clip(corners[best], 0, np.tile(size, 2) - 1).tolist()
        draw.rectangle(box, outline=(255, 80, 0), width=2)
        _write(draw, (6, 4), f"{label}  {attention[best]:.0%}")
        drawn.append(tile)
    return drawn


def _font() -> Any:
    return ImageFont.load_default(14)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str) -> None:
    left, top, right, bottom = draw.textbbox(at, text, font=_font())
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=(0, 0, 0))
    draw.text(at, text, fill=(255, 255, 255), font=_font())


def shade(weight: float, largest: float) -> tuple[int, int, int]:
    """Colour of a weight in the table: white for 0, orange for the row's largest."""
    part = weight / largest if largest else 0.0
    return 255, round(255 - 115 * part), round(255 - 215 * part)


def sheet(
    title: list[str], picture: Image.Image | None, drawn: list[Image.Image], reasoning: Reasoning, nodes: list[str]
) -> Image.Image:
    """Title, picture and tiles, and the table of node weights on one picture."""
    width, height = drawn[0].size
    shown = ([] if picture is None else [picture.resize((width, height))]) + drawn
    gap, line, label = 8, 24, 90
    columns = min(len(shown), max(5, (label + 64 * len(nodes)) // (width + gap)))
    rows = -(-len(shown) // columns)
    cell = max(64, (columns * (width + gap) - label) // len(nodes))
    page = max(columns * (width + gap) + gap, label + cell * len(nodes) + gap)
    top = len(title) * line + gap
    table = top + rows * (height + gap) + gap
    result = Image.new("RGB", (page, table + (1 + len(reasoning.weights)) * line + gap), "white")
    draw = ImageDraw.Draw(result)
    for number, text in enumerate(title):
        draw.text((gap, 4 + number * line), text, fill=(0, 0, 0), font=_font())
    for number, tile in enumerate(shown):
        row, column = divmod(number, columns)
        result.paste(tile, (gap + column * (width + gap), top + row * (height + gap)))
    for row, (name, weights) in enumerate([("", None), *reasoning.weights.items()]):
        y = table + row * line
        draw.text((gap, y + 3), name, fill=(0, 0, 0), font=_font())
        for column, node in enumerate(nodes):
            x = label + column * cell
            text = node
            if weights is not None:
                draw.rectangle((x, y, x + cell - 2, y + line - 2), fill=shade(weights[column], weights.max()))
                text = f"{weights[column]:.1%}"
            while text and draw.textlength(text, font=_font()) > cell - 4:
                text = text[:-1]
            draw.text((x + 3, y + 3), text, fill=(0, 0, 0), font=_font())
    return result


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title[0] }}</title>
<style>
  body { font-family: sans-serif; margin: 1.5em }
  img { margin: 4px }
  table { border-collapse: collapse }
  th, td { padding: 3px 8px; text-align: right; font-weight: normal }
</style>
<h1>{{ title[0] }}</h1>
{%- for line in title[1:] %}
<p>{{ line }}</p>
{%- endfor %}
<div>
{%- for text, picture in images %}
<img alt="{{ text }}" src="{{ picture }}">
{%- endfor %}
</div>
<table>
<tr><th></th>{% for node in nodes %}<th>{{ node }}</th>{% endfor %}</tr>
{%- for name, cells in rows %}
<tr><th>{{ name }}</th>
{%- for colour, share in cells %}<td style="background:rgb{{ colour }}">{{ share }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
</html>
"""


def save_html(
    path: Path,
    title: list[str],
    picture: Image.Image | None,
    drawn: list[Image.Image],
    reasoning: Reasoning,
    nodes: list[str],
) -> None:
    """Write the same as an HTML page that needs no other file."""
    images = [] if picture is None else [("the picture", embedded(picture.resize(drawn[0].size), "PNG"))]
    images += [(f"attention of {node}", embedded(tile, "PNG")) for tile, node in zip(drawn, nodes[1:], strict=True)]
    rows = [
        (name, [(shade(weight, weights.max()), f"{weight:.1%}") for weight in weights.tolist()])
        for name, weights in reasoning.weights.items()
    ]
    save_page(path, PAGE, title=title, images=images, nodes=nodes, rows=rows)


def main(options: Options) -> None:
    """Write the PNG and the HTML page.

    Raises:
        InputError: no such image or caption, or what loading the network finds wrong.
    """
    wanted = EvaluationOptions(
        model_path=options.model_path,
        data_path=options.data_path,
        data_name=options.data_name,
        vocab_path=options.vocab_path,
        split=options.split,
        device=options.device,
    )
    [model] = open_models(FOLDER, wanted)
    split, network, vocabulary = model.data.split, model.network, model.text.vocabulary  # type: ignore[attr-defined]
    assert isinstance(network, SGRAF)
    name = f"{split.captions_file.parent.name} {split.name}"
    image, caption = options.image, options.caption
    if not 0 <= image < len(split.images):
        raise InputError(f"--image {image}: {name} has images 0 to {len(split.images) - 1}")
    if caption is not None and options.text is not None:
        raise InputError("--caption and --text both name the caption: give one of them")
    if caption is None:
        caption = int(np.flatnonzero(split.caption_image == image)[0])
    if not 0 <= caption < len(split.captions):
        raise InputError(f"--caption {caption}: {name} has captions 0 to {len(split.captions) - 1}")
    text = split.captions[caption] if options.text is None else options.text
    folder = writable_folder(options.out, "--out")

    device = choose_device(options.device)
    network.to(device)
    ids, lengths = encode([text], vocabulary).batch(np.array([0]))
    row = torch.zeros(1, dtype=torch.int64)
    image_batch = ImageBatch(images=split.images.read(np.array([image])), image_ids=row)
    caption_batch = CaptionBatch(captions=ids, lengths=lengths, caption_ids=row, image_ids=row)
    with evaluating(network):
        images = network.encode_images(image_batch.to(device))
        captions = network.encode_captions(caption_batch.to(device))
    reasoning = reason(network, images, captions)

    words = ["<start>", *tokenise(text, vocabulary.tokeniser), "<end>"]
    picture = picture_of(split, image)
    corners, size = boxes_on(split, image, picture)
    drawn = tiles(reasoning, words, corners, size, picture)
    matching = options.text is None and split.caption_image[caption] == image
    owner = "of this image" if matching else "of your own" if options.text is not None else "of another image"
    kind = "gates of SAF" if network.similarity_encoder.filters else "what SGR's global node listens to, step by step"
    title = [
        f"{name}, image {image}: {text}",
        f"score {reasoning.score:.4f}; a caption {owner}; {options.model_path}; table: {kind}",
    ]
    stem = f"image{image}_" + (f"caption{caption}" if options.text is None else "text")
    nodes = ["global", *words]
    drawing = sheet(title, picture, drawn, reasoning, nodes)
    write_atomically(folder / f"{stem}.png", lambda file: drawing.save(file, "PNG"))
    save_html(folder / f"{stem}.html", title, picture, drawn, reasoning, nodes)
    say("\n".join(title))
    say(f"{folder / stem}.png and .html")


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
