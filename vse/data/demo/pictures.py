"""Draw demo scenes as pictures."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vse.data.demo.kinds import COLOURS, KINDS, SETTINGS
from vse.data.demo.scenes import HEIGHT, WIDTH, Scene, Thing

Array = NDArray[np.float32]

OVERSAMPLING = 2  # drawn at twice the size, then averaged: smooth edges


@cache
def shapes(kind: str) -> tuple[tuple[str, str, tuple[float, ...]], ...]:
    """Parse a kind's drawing: (shape, paint, numbers) in painter's order."""
    rows = (line.split() for line in KINDS[kind].drawing.strip().splitlines())
    return tuple((shape, paint, tuple(map(float, numbers))) for shape, paint, *numbers in rows)


def draw_shape(draw: ImageDraw.ImageDraw, shape: str, n: list[float], fill: object, outline: object) -> None:
    """One shape; the numbers are corners, after the pen's width for line and ring."""
    match shape:
        case "line":
            draw.line(n[1:], fill=fill, width=max(1, round(n[0])), joint="curve")  # type: ignore[arg-type]
        case "ring":
            draw.ellipse(n[1:], outline=fill, width=max(1, round(n[0])))  # type: ignore[arg-type]
        case "dome":
            draw.pieslice(n, 180, 360, fill=fill, outline=outline, width=2)  # type: ignore[arg-type]
        case "polygon":
            draw.polygon(n, fill=fill, outline=outline, width=2)  # type: ignore[arg-type]
        case _:
            getattr(draw, shape)(n, fill=fill, outline=outline, width=2)


def pattern(finish: str, height: int, width: int) -> Array:
    """[height, width] of 0..1: where a finish puts its second colour."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    period = np.float32(max(9.0, height / 5))
    match finish:
        case "striped":
            return ((x * 0.5 + y) % period < period * 0.45).astype(np.float32)
        case "dotted":
            return ((x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (0.3 * period) ** 2) * np.float32(
                1
            )
        case "checked":
            return ((x // (period * 0.7) + y // (period * 0.7)) % 2).astype(np.float32)
        case "shiny":
            u, v = x / width, y / height
            glint = np.exp(-((u - 0.3) ** 2 + (v - 0.28) ** 2) / 0.02) + 0.6 * np.exp(
                -((u + v * 0.6 - 1.05) ** 2) / 0.004
            )
            return np.minimum(glint, 1)
    return np.zeros((height, width), np.float32)


def draw_thing(thing: Thing, rng: random.Random) -> Image.Image:
    """Draw the thing alone on a transparent ground, RGBA, OVERSAMPLING times its size in the picture."""
    height, width = round(thing.height * OVERSAMPLING), round(thing.width * OVERSAMPLING)
    colour = np.clip([c + rng.uniform(-14, 14) for c in COLOURS[thing.colour]], 0, 255)
    light = tuple(int(c) for c in colour + (255 - colour) * 0.35)
    dark = tuple(int(c) for c in colour * 0.66)
    paints = {"body": tuple(int(c) for c in colour), "light": light, "dark": dark}
    outline = tuple(int(c) for c in colour * 0.45)

    tile = Image.new("RGBA", (width + 1, height + 1))
    body = Image.new("L", tile.size)
    draw, draw_body = ImageDraw.Draw(tile), ImageDraw.Draw(body)
    unit = height / 100
    for shape, paint, numbers in shapes(thing.kind):
        n = [value * unit for value in numbers]
        own = paint in paints
        draw_shape(draw, shape, n, paints.get(paint, paint), outline if own else "#33302c")
        draw_shape(draw_body, shape, n, 255 if paint == "body" else 0, 0)

    pixels = np.asarray(tile).astype(np.float32)
    mask = np.asarray(body)[..., None] / np.float32(255)
    if thing.finish != "plain":
        bright = colour.mean() > 150 and thing.finish != "shiny"
        other = colour * 0.45 if bright else colour * 0.12 + 255 * 0.88
        weight = mask * pattern(thing.finish, *mask.shape[:2])[..., None]
        pixels[..., :3] += weight * (other.astype(np.float32) - pixels[..., :3])
    shade = np.linspace(1.1, 0.82, height + 1, dtype=np.float32)[:, None, None]
    pixels[..., :3] *= 1 + (shade - 1) * mask
    drawn = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")
    return drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else drawn


def gradient(top: str, bottom: str, width: int, height: int) -> Image.Image:
    """Fill a picture from one colour at the top to another at the bottom."""
    return Image.composite(
        Image.new("RGB", (width, height), bottom),
        Image.new("RGB", (width, height), top),
        Image.linear_gradient("L").resize((width, height)),
    )


def draw_background(scene: Scene, rng: random.Random) -> Image.Image:
    """Draw the empty setting, RGB, OVERSAMPLING times the picture's size."""
    s, setting = OVERSAMPLING, SETTINGS[scene.setting]
    picture = Image.new("RGB", (WIDTH * s, HEIGHT * s))
    horizon, ground = setting.horizon * s, setting.ground_top * s
    picture.paste(gradient(*setting.sky, WIDTH * s, horizon), (0, 0))
    draw = ImageDraw.Draw(picture)

    def ellipse(x: float, y: float, rx: float, ry: float, fill: str) -> None:
        draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=fill)

    def rectangle(x1: float, y1: float, x2: float, y2: float, fill: str, outline: str | None = None) -> None:
        draw.rectangle([x1 * s, y1 * s, x2 * s, y2 * s], fill=fill, outline=outline, width=3)

    if scene.sun:
        x = rng.uniform(20, WIDTH - 20)
        ellipse(x, 20, 14, 14, "#fff3b8")
        ellipse(x, 20, 11, 11, "#ffe066")
    if scene.setting not in ("room", "night"):
        for _ in range(rng.choice((0, 1, 2, 3))):
            x, y, r = rng.uniform(10, WIDTH - 10), rng.uniform(12, 46), rng.uniform(6, 10)
            for dx, dy, part in ((-1.3, 0.3, 0.7), (1.3, 0.3, 0.75), (0, 0, 1), (0.6, 0.35, 0.8)):
                ellipse(x + dx * r, y + dy * r, part * 1.3 * r, part * r, "#f7fafc")
    match scene.setting:
        case "meadow":
            for colour in ("#9fc98a", "#7fbf63"):
                ellipse(rng.uniform(0, WIDTH), setting.horizon + 12, rng.uniform(70, 120), rng.uniform(20, 38), colour)
        case "snow":
            for colour in ("#d3dfe9", "#e3ecf3"):
                ellipse(rng.uniform(0, WIDTH), setting.horizon + 12, rng.uniform(70, 130), rng.uniform(20, 40), colour)
        case "lake":
            for _ in range(3):
                x, y, r = rng.uniform(0, WIDTH), setting.horizon - rng.uniform(24, 50), rng.uniform(40, 70)
                draw.polygon(
                    [(x - r) * s, horizon, x * s, y * s, (x + r) * s, horizon], fill=rng.choice(("#8795ad", "#76869f"))
                )
        case "street":
            x = -rng.uniform(0, 20)
            while x < WIDTH:
                w, top = rng.uniform(26, 44), rng.uniform(28, 72)
                rectangle(x, top, x + w, setting.horizon, rng.choice(("#a39a92", "#8e9aa6", "#b5a78f", "#9c8d8d")))
                for wx in np.arange(x + 5, x + w - 6, 9):
                    for wy in np.arange(top + 6, setting.horizon - 8, 12):
                        rectangle(wx, wy, wx + 4, wy + 6, "#d5dfe6")
                x += w + rng.choice((0, 0, 6))
        case "room":
            x = rng.uniform(24, WIDTH - 84)
            rectangle(x, 24, x + 58, 76, "#b9dcf2", "#fbf7ee")
            rectangle(x + 28, 24, x + 30, 76, "#fbf7ee")
            rectangle(x, 49, x + 58, 51, "#fbf7ee")
        case "night":
            for _ in range(40):
                x, y = rng.uniform(0, WIDTH), rng.uniform(0, setting.horizon - 8)
                ellipse(x, y, 0.7, 0.7, "#f4f1d0")
            x = rng.uniform(30, WIDTH - 30)
            ellipse(x, 24, 13, 13, "#f3eecb")
            ellipse(x - 4, 20, 3, 3, "#ddd6a8")
    picture.paste(gradient(*setting.floor, WIDTH * s, HEIGHT * s - horizon), (0, horizon))
    if setting.water:
        colours = ("#2f86c9", "#63b6e0") if scene.setting == "beach" else ("#6fa6c9", "#4b87ae")
        picture.paste(gradient(*colours, WIDTH * s, ground - horizon), (0, horizon))
        for _ in range(14):
            x, y, w = (
                rng.uniform(0, WIDTH),
                rng.uniform(setting.horizon + 4, setting.ground_top - 4),
                rng.uniform(8, 22),
            )
            draw.line([x * s, y * s, (x + w) * s, y * s], fill="#a9d6ec", width=2)
        draw.line([0, ground, WIDTH * s, ground], fill="#f2f6f4", width=5)
    if scene.setting == "street":
        rectangle(0, setting.horizon, WIDTH, setting.horizon + 8, "#b8b6b0")
        for x in range(-10, WIDTH, 46):
            rectangle(x, 150, x + 24, 153, "#e9e4c8")
    elif scene.setting == "room":
        rectangle(0, setting.horizon - 4, WIDTH, setting.horizon, "#fbf3e2")
        for y in (138, 154, 172):
            draw.line([0, y * s, WIDTH * s, y * s], fill="#8a5c34", width=2)
    elif scene.setting in ("meadow", "lake", "night"):
        for _ in range(60):
            x, y = rng.uniform(0, WIDTH) * s, rng.uniform(setting.ground_top + 2, HEIGHT) * s
            draw.line([x, y, x + rng.uniform(-4, 4), y - rng.uniform(6, 12)], fill="#3f7f35", width=2)
    elif scene.setting == "snow":
        for _ in range(50):
            ellipse(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 1.1, 1.1, "#ffffff")
    return picture


@cache
def grain() -> NDArray[np.int16]:
    """[H + 64, W + 64, 1] film grain; each picture takes another cut of it."""
    noise = np.random.default_rng(7).normal(0, 3.5, (HEIGHT + 64, WIDTH + 64, 1))
    return np.rint(noise).astype(np.int16)


def draw_scene(scene: Scene, rng: random.Random) -> Image.Image:
    """Draw the scene as a WIDTH x HEIGHT RGB picture, things further away first."""
    s = OVERSAMPLING
    picture = draw_background(scene, rng)
    order = sorted(scene.things, key=lambda thing: (thing.place == "on", thing.place != "air", thing.y))
    shadow = Image.linear_gradient("L").resize((1, 1))
    for thing in order:
        tile = draw_thing(thing, rng)
        x1, _, _, y2 = thing.box
        if thing.place == "ground":
            size = (round(thing.width * s), round(max(3.0, thing.width * 0.14) * s))
            shadow = Image.new("L", size)
            ImageDraw.Draw(shadow).ellipse([0, 0, size[0] - 1, size[1] - 1], fill=90)
            picture.paste("#1d2420", (round(x1 * s), round(y2 * s) - size[1] // 2), shadow)
        picture.paste(tile, (round(x1 * s), round(y2 * s) - tile.height), tile)
    pixels = np.asarray(picture.reduce(s)).astype(np.float32)
    if scene.setting == "night":
        pixels *= np.array([0.72, 0.76, 0.92], np.float32)
    pixels *= np.float32(rng.uniform(0.9, 1.08))
    top, left = rng.randrange(64), rng.randrange(64)
    pixels += grain()[top : top + HEIGHT, left : left + WIDTH]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
