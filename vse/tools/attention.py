"""A page that shows how a cross-attention network scores an image and a caption.

A network's own script calls `draw` with an `Explain` of its own: SGRAF_LSEH/visualize.py, GSMN_LSEH/visualize.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from vse.console import say, warn
from vse.data.batches import CaptionBatch, Captions, EvaluationData, ImageBatch, image_batch
from vse.data.boxes import read_boxes
from vse.data.datasets import Split
from vse.data.shown import ShownPictures
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.scoring import evaluating
from vse.evaluation.script import EvaluatedModel, open_models
from vse.files import writable_folder, write_atomically
from vse.inference.model import GIVEN
from vse.networks import NetworkFolder
from vse.nn.towers.tower import ImageTower
from vse.options import EvaluationOptions
from vse.text.token_ids import encode
from vse.text.tokens import tokenise
from vse.text.word_pieces import WordPieces
from vse.tools.attention_options import AttentionOptions
from vse.tools.attention_page import PAGE
from vse.tools.attention_tiles import TILE, Explanation, shade, sheet, tiles
from vse.tools.pages import Album, save_page

Explain = Callable[[Any, Any, Any], Explanation]
"""(network, encoding of one image, encoding of one caption) -> how it scores them."""

MEANINGS = {
    "region": "A part of the image with a feature vector: a box of an object detector, or a cell of a grid.",
    "attention": "How a word spreads over the regions: shares that sum to 100 %. A place is as bright as the largest "
    "share of a region that covers it. Where all is bright, the word looks everywhere alike.",
    "frame": "The region with the word's largest share, which stands behind the word.",
    "<start>, <end>": "Marks that the network reads before and after the caption's words.",
    "score": "How well image and caption fit, the larger the better. It orders answers and is no probability.",
}


def draw(folder: NetworkFolder, explain: Explain, options: AttentionOptions) -> None:
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
    [model] = open_models(folder, wanted)
    split = model.data.split
    caption, text = _choose(options, split)
    pictures = ShownPictures(split, options.pictures)
    out = writable_folder(options.out or str(Path(options.model_path).parent / "attention"), "--out")

    device = choose_device(options.device)
    network = model.network.to(device)
    images, (captions, labels) = image_batch(split, np.array([options.image])), _caption_batch(model, caption, text)
    with evaluating(network):
        encoded = network.encode_images(images.to(device)), network.encode_captions(captions.to(device))
        explanation = explain(network, *encoded)

    picture, corners = _regions(model, images, pictures, options.image, explanation.attention.shape[1])
    drawn = tiles(explanation.attention, labels, corners, _size(picture, split, options.image), picture)
    stem = f"image{options.image}_" + (f"caption{caption}" if caption is not None else "text")
    facts = _facts(options, split, caption, explanation)
    nodes = [*explanation.before, *labels]
    drawing = sheet([text, ", ".join(f"{k} {v}" for k, v in facts)], picture, drawn, explanation, nodes)
    write_atomically(out / f"{stem}.png", lambda file: drawing.save(file, "PNG"))
    _save_html(out / f"{stem}.html", text, facts, picture, drawn, labels, explanation, pictures)
    say("\n".join([text, *(f"{name}: {value}" for name, value in facts)]))
    say(f"{out / stem}.png and .html")


def _choose(options: AttentionOptions, split: Split) -> tuple[int | None, str]:
    """Return the number of the caption, None for a text of one's own, and its text."""
    name = f"{split.captions_file.parent.name} {split.name}"
    if options.image >= len(split.images):
        raise InputError(f"--image {options.image}: {name} has images 0 to {len(split.images) - 1}")
    if options.caption is not None and options.text is not None:
        raise InputError("--caption and --text both name the caption: give one of them")
    if options.text is not None:
        return None, options.text
    own = np.flatnonzero(split.caption_image == options.image)
    if options.caption is None and not len(own):
        raise InputError(f"--image {options.image}: {name} has no caption of it; give one with --caption or --text")
    caption = int(own[0]) if options.caption is None else options.caption
    if caption >= len(split.captions):
        raise InputError(f"--caption {caption}: {name} has captions 0 to {len(split.captions) - 1}")
    return caption, split.captions[caption]


def _caption_batch(model: EvaluatedModel, caption: int | None, text: str) -> tuple[CaptionBatch, list[str]]:
    """Make a batch of one caption as the network reads it, and a label for each of its tokens."""
    data, place = model.data, np.array([caption or 0])
    pieces = model.text if isinstance(model.text, WordPieces) else None
    vocabulary: Any = None if pieces else cast(Any, model.text).vocabulary
    if caption is None:  # the network's reader supplies what the text lacks, such as a parse
        split = Split("given", GIVEN / "given_caps.txt", [text], data.split.images, place)
        tokens = pieces.encode([text])[0] if pieces else encode([text], vocabulary)
        data = model.trained.reader.complete(EvaluationData(split, cast(Captions, tokens)), model.text)
    ids, lengths = data.captions.batch(place, None)
    if pieces:
        labels = [str(pieces.tokenizer.id_to_token(piece)) for piece in ids[0, : int(lengths[0])].tolist()]
    else:
        words = tokenise(text, vocabulary.tokeniser)
        unknown = [word for word in words if word not in vocabulary.word2idx]
        if unknown:
            warn(f"words that the network does not know: {', '.join(unknown)}")
        labels = ["<start>", *words, "<end>"]
    zero = torch.zeros(1, dtype=torch.int64)
    extras = {name: read(place) for name, read in data.split.caption_extras.items()}
    return CaptionBatch(captions=ids, lengths=lengths, caption_ids=zero, image_ids=zero, extras=extras), labels


def _regions(
    model: EvaluatedModel, images: ImageBatch, pictures: ShownPictures, image: int, count: int
) -> tuple[Image.Image | None, np.ndarray]:
    """Return the picture, and the boxes [R, 4] of its regions in 0 ... 1.

    A network that reads pictures is drawn on what it reads, which may be a crop. Without boxes a regular grid is used,
    which is announced.
    """
    tower = model.network.image_tower
    if isinstance(tower, ImageTower):
        pixels = images.images[0]
        if pixels.dtype != torch.uint8:
            pixels = ((pixels * tower.std.cpu() + tower.mean.cpu()) * 255).round().clamp(0, 255).to(torch.uint8)
        return Image.fromarray(pixels.permute(1, 2, 0).numpy()), tower.boxes.cpu().numpy()
    boxes = read_boxes(model.data.split, stand_in=True)
    return pictures.open(image), boxes.divided(np.array([image]))[0].numpy()[:count]


def _size(picture: Image.Image | None, split: Split, image: int) -> tuple[int, int]:
    """Width and height of a tile."""
    width, height = read_boxes(split, stand_in=True).sizes[image] if picture is None else picture.size
    scale = TILE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _facts(
    options: AttentionOptions, split: Split, caption: int | None, explanation: Explanation
) -> list[tuple[str, str]]:
    which = "of your own"
    if caption is not None:
        which = f"{caption}, of {'this' if split.caption_image[caption] == options.image else 'another'} image"
    return [
        ("score", f"{explanation.score:.4f}"),
        ("caption", which),
        ("image", f"{options.image} of {split.captions_file.parent.name} {split.name}"),
        ("model", options.model_path),
    ]


def _save_html(
    path: Path,
    text: str,
    facts: list[tuple[str, str]],
    picture: Image.Image | None,
    drawn: list[Image.Image],
    labels: list[str],
    explanation: Explanation,
    pictures: ShownPictures,
) -> None:
    """Write the page."""
    album = Album()
    shown = [] if picture is None else [("the picture", album.add("picture", picture.convert("RGB"), "the picture"))]
    for number, (label, tile) in enumerate(zip(labels, drawn, strict=True)):
        largest = explanation.attention[number].max()
        shown.append((f"{label} {largest:.0%}", album.add(f"word{number}", tile, f"attention of {label}")))
    rows = [
        (
            name,
            [(shade(weight, float(np.abs(weights).max())), explanation.shown(weight)) for weight in weights.tolist()],
        )
        for name, weights in explanation.weights.items()
    ]
    missing = "The picture was not found; name its folder with --pictures. The boxes are drawn alone. "
    save_page(
        path,
        PAGE,
        title=text,
        sections=[("words", "Where each word looks"), ("weights", "The score"), ("legend", "What the words mean")],
        album=album,
        facts=facts,
        note=f"{missing if picture is None else ''}{pictures.problem if picture is None else ''}",
        pictures=shown,
        nodes=[*explanation.before, *labels],
        rows=rows,
        meanings=[*MEANINGS.items(), *explanation.meanings.items()],
    )
