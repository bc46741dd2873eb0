"""Compose demo scenes: objects with their positions, colours and sizes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vse.data.demo.kinds import INDOOR_ONLY, KINDS, OUTDOOR_ONLY, PERCHERS, SETTINGS, SIZE_FACTOR

WIDTH, HEIGHT = 256, 192  # of a picture, pixels


@dataclass
class Thing:
    """One object in a scene; pixels of the picture, x of its middle, y of its foot."""

    kind: str
    place: str  # ground, air, water or on (another thing)
    colour: str
    size: str
    finish: str
    x: float
    y: float
    scale: float

    @property
    def height(self) -> float:
        """Height in pixels."""
        return 1.15 * KINDS[self.kind].height * self.scale * SIZE_FACTOR[self.size]

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.height * KINDS[self.kind].width / 100

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Corners x1 y1 x2 y2 in pixels; (x, y) is where the thing stands."""
        return self.x - self.width / 2, self.y - self.height, self.x + self.width / 2, self.y


@dataclass
class Scene:
    """`things[0]` is in `relation` (left, right, front, on, above) to `things[1]`; the others are further away."""

    setting: str
    things: list[Thing]
    relation: str
    sun: bool


def make_thing(rng: random.Random, kind: str, place: str) -> Thing:
    """Make a thing of this kind with looks of its own, not placed yet."""
    looks = KINDS[kind]
    size = rng.choice(("small", "normal", "normal", "large"))
    return Thing(kind, place, rng.choice(looks.colours), size, rng.choice(looks.finishes), 0.0, 0.0, 1.0)


def overlap(a: Thing, b: Thing) -> float:
    """Return the common area of two things' boxes as a part of the smaller box."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.box, b.box
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    return max(0.0, width) * max(0.0, height) / min(a.width * a.height, b.width * b.height)


def inside(thing: Thing) -> bool:
    """Whether a thing is wholly within the picture."""
    x1, y1, x2, y2 = thing.box
    return x1 > 2 and y1 > 2 and x2 < WIDTH - 2 and y2 < HEIGHT - 2


def propose(rng: random.Random) -> Scene | None:
    """One try at a scene; None if two things stand in each other's way or leave the picture."""
    name = rng.choice(tuple(SETTINGS))
    setting = SETTINGS[name]
    front = rng.uniform(168, 184)
    relations = ["left", "right", "left", "right", "front", "on"] + ["above"] * bool(setting.air)
    relation = rng.choice(relations)

    second = make_thing(rng, rng.choice(setting.ground), "ground")
    second.x, second.y = rng.uniform(50, WIDTH - 50), front
    if relation == "above":
        first = make_thing(rng, rng.choice(setting.air), "air")
        first.x, first.y = second.x + rng.uniform(-25, 25), second.box[1] - rng.uniform(4, 16)
        first.scale = 0.85
    elif relation == "on":
        surface = KINDS[second.kind].surface
        choices = [kind for kind in PERCHERS if kind != (OUTDOOR_ONLY if name == "room" else INDOOR_ONLY)[0]]
        first = make_thing(rng, rng.choice(choices), "on")
        if surface is None or first.kind == second.kind:
            return None
        first.scale = min(1.0, 0.8 * second.width / first.width)
        room = max(0.0, 0.35 * (second.width - first.width))
        first.x = second.x + rng.uniform(-room, room)
        first.y = second.y - second.height * (1 - surface)
    else:
        in_water = bool(setting.water) and relation == "front" and rng.random() < 0.5
        first = make_thing(rng, rng.choice(setting.ground), "ground")
        if relation == "front":
            if in_water:
                second = make_thing(rng, rng.choice(setting.water), "water")
                second.y, second.scale = rng.uniform(setting.horizon + 22, setting.ground_top - 6), 0.8
            else:
                second.y = front - rng.uniform(14, 24)
            first.x, first.y = rng.uniform(50, WIDTH - 50), front
            second.x = first.x + rng.choice((-1, 1)) * rng.uniform(0.2, 0.45) * (first.width + second.width)
            if first.height > 1.1 * second.height or (first.kind == second.kind):
                return None
        else:
            gap = rng.uniform(6, 40) + (first.width + second.width) / 2
            first.x = second.x - gap if relation == "left" else second.x + gap
            first.y = front + rng.uniform(-4, 4)
    limit = 0.45 if relation == "front" else 0.3 if relation == "on" else 0.05
    if not (inside(first) and inside(second)) or (relation != "on" and overlap(first, second) > limit):
        return None

    things = [first, second]
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        place = rng.choice(["ground"] * 3 + ["air"] * bool(setting.air) + ["water"] * 2 * bool(setting.water))
        extra = make_thing(rng, rng.choice(getattr(setting, place)), place)
        if place == "ground":
            extra.y, extra.scale = rng.uniform(setting.ground_top + 4, setting.ground_top + 22), 0.72
        elif place == "water":
            extra.y, extra.scale = rng.uniform(setting.horizon + 18, setting.ground_top - 6), 0.62
        else:
            extra.y, extra.scale = rng.uniform(48, 70), 0.6
        extra.x = rng.uniform(20, WIDTH - 20)
        new = extra.kind not in {thing.kind for thing in things}
        if new and inside(extra) and all(overlap(extra, thing) < 0.15 for thing in things):
            things.append(extra)
    return Scene(name, things, relation, sun=name not in ("room", "night") and rng.random() < 0.5)


def compose(rng: random.Random) -> Scene:
    """Compose a random scene of two to five things; deterministic in the state of `rng`."""
    while True:
        scene = propose(rng)
        if scene is not None:
            return scene
