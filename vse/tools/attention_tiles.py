"""Draw where each word of a caption attends in an image: one tile per word, and a sheet of all tiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE = 256
"""Longer side of a tile in pixels."""


class Explanation(NamedTuple):
    """How a cross-attention network scores one image and one caption of T tokens."""

    score: float
    attention: np.ndarray
    """[T, R] how much each word attends to each region; rows sum to 1."""
    before: list[str]
    """Columns of the weights that stand before those of the words, such as a global node."""
    weights: dict[str, np.ndarray]
    """Name of a row -> [len(before) + T], what counts in the score."""
    shares: bool
    """The weights of a row sum to 1 and are shown in percent."""
    meanings: dict[str, str]
    """The network's own words on the page -> what they mean."""

    def shown(self, weight: float) -> str:
        """Format a weight."""
        return f"{weight:.1%}" if self.shares else f"{weight:+.3f}"


def coverage(corners: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """Boxes [R, 4] in pixels -> bool [R, height, width], True inside."""
    x, y = np.arange(tile[0]) + 0.5, np.arange(tile[1]) + 0.5
    left, top, right, bottom = (corners[:, k, None] for k in range(4))
    return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]


def tiles(
    attention: np.ndarray, labels: list[str], corners: np.ndarray, size: tuple[int, int], picture: Image.Image | None
) -> list[Image.Image]:
    """Draw a tile for each word: the picture (or plain boxes) lit where the word looks, its best region framed.

    Args:
        attention: [T, R].
        labels: T words.
        corners: [R, 4] boxes x1 y1 x2 y2 in 0 ... 1.
        size: width and height of a tile.
    """
    base = Image.new("RGB", size, "white") if picture is None else picture.resize(size)
    pixels = np.asarray(base, dtype=np.float32)
    corners = corners * np.tile(size, 2)
    inside = coverage(corners, size)
    drawn = []
    for label, row in zip(labels, attention, strict=True):
        heat = np.where(inside, row[:, None, None], 0).max(axis=0) / row.max()
        tile = Image.fromarray((pixels * (0.15 + 0.85 * heat[..., None])).astype(np.uint8))
        draw = ImageDraw.Draw(tile)
        best = int(row.argmax())
        box = np.clip(corners[best], 0, np.tile(size, 2) - 1).tolist()
        draw.rectangle(box, outline=(255, 80, 0), width=2)
        _write(draw, (6, 4), f"{label}  {row[best]:.0%}")
        drawn.append(tile)
    return drawn


def _font() -> Any:
    return ImageFont.load_default(14)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str) -> None:
    left, top, right, bottom = draw.textbbox(at, text, font=_font())
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=(0, 0, 0))
    draw.text(at, text, fill=(255, 255, 255), font=_font())


def shade(weight: float, largest: float) -> tuple[int, int, int]:
    """Colour of a weight in the table: white for 0, orange for the row's largest, blue for as much below 0."""
    part = abs(weight) / largest if largest else 0.0
    near, far = round(255 - 115 * part), round(255 - 215 * part)
    return (255, near, far) if weight >= 0 else (far, near, 255)


def sheet(
    title: list[str], picture: Image.Image | None, drawn: list[Image.Image], explanation: Explanation, nodes: list[str]
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
    result = Image.new("RGB", (page, table + (1 + len(explanation.weights)) * line + gap), "white")
    draw = ImageDraw.Draw(result)
    for number, text in enumerate(title):
        draw.text((gap, 4 + number * line), text, fill=(0, 0, 0), font=_font())
    for number, tile in enumerate(shown):
        row, column = divmod(number, columns)
        result.paste(tile, (gap + column * (width + gap), top + row * (height + gap)))
    for row, (name, weights) in enumerate([("", None), *explanation.weights.items()]):
        y = table + row * line
        draw.text((gap, y + 3), name, fill=(0, 0, 0), font=_font())
        for column, node in enumerate(nodes):
            x = label + column * cell
            text = node
            if weights is not None:
                draw.rectangle((x, y, x + cell - 2, y + line - 2), fill=shade(weights[column], np.abs(weights).max()))
                text = explanation.shown(weights[column])
            while text and draw.textlength(text, font=_font()) > cell - 4:
                text = text[:-1]
            draw.text((x + 3, y + 3), text, fill=(0, 0, 0), font=_font())
    return result
