"""The embedded data set: drawn scenes, five captions each, 36 regions with features computed from the pixels.

It stands in for Flickr30K where nothing can be downloaded: same files, same shapes, a hundredth of the size. Scenes are
composed (who stands where, in what colour), drawn with PIL, and described; then the labels are forgotten, and regions
and features are taken from the saved pictures alone. Captions of different pictures resemble each other to different
degrees (same objects elsewhere, other colours, "animal" for "dog"), which is what LSEH looks at.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from tqdm import tqdm

from vse.errors import InputError

DEMO_VERSION = 1
"""Counts the changes of what is generated; a folder made by another version is made anew."""

VERSION_FILE = "demo_version.txt"
SPLITS = ("train", "dev", "test")
CAPTIONS_PER_IMAGE = 5
REGIONS, FEATURE_SIZE = 36, 256
WIDTH, HEIGHT = 256, 192  # of a picture, pixels

Array = NDArray[np.float32]

# ---------------------------------------------------------------------------------------------------------------------
# What there is: colours, kinds of objects, settings
# ---------------------------------------------------------------------------------------------------------------------

COLOURS = {
    "red": (212, 44, 46),
    "orange": (238, 134, 34),
    "yellow": (246, 210, 60),
    "green": (52, 158, 66),
    "blue": (44, 100, 212),
    "purple": (136, 66, 186),
    "pink": (242, 132, 182),
    "brown": (128, 82, 46),
    "white": (246, 246, 244),
    "black": (44, 44, 50),
    "gray": (142, 146, 152),
}
PAINT = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
FUR = ("brown", "black", "white", "gray", "orange")

COLOUR_WORDS = {
    "red": ("red", "red", "crimson"),
    "blue": ("blue", "blue", "navy"),
    "purple": ("purple", "purple", "violet"),
    "gray": ("gray", "grey"),
    "brown": ("brown", "brown", "dark brown"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "normal": (), "large": ("large", "big", "huge")}
SIZE_FACTOR = {"small": 0.72, "normal": 1.0, "large": 1.32}
FINISH_WORDS = {
    "plain": (),
    "striped": ("striped",),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "checkered"),
    "shiny": ("shiny", "glossy"),
}

ANIMAL, VEHICLE, PERSON = ("animal", "creature"), ("vehicle",), ("person", "someone")
BIRD, BUILDING, PLANT = ("bird", "animal"), ("building",), ("plant",)
FURNITURE, TOY, THING = ("piece of furniture",), ("toy", "thing"), ("object", "thing")


@dataclass(frozen=True)
class Kind:
    """A kind of object: its words, its looks, and where it can be.

    `drawing` holds one shape a line: `shape paint numbers...`, painter's order, in units of a hundredth of the height;
    paint is a colour or body, light, dark, which follow the object's own colour (body takes its finish, too).
    """

    nouns: tuple[str, ...]
    general: tuple[str, ...]  # hypernyms
    verbs: tuple[str, ...]
    height: int  # pixels, of a normal one in the foreground
    width: int  # of the drawing, hundredths of the height
    colours: tuple[str, ...]
    finishes: tuple[str, ...]
    drawing: str
    wears: str = ""  # the coloured part, where that is not the whole ("in a" shirt)
    surface: float | None = None  # where others can sit on it, as a part of its height from the top


STANDS = ("stands", "is standing", "is")
RESTS = ("stands", "sits", "rests", "waits")
LIES = ("lies", "is", "rests")
IS = ("is", "stands", "is placed")
PARKED = ("is parked", "stands", "is", "has stopped")
FLOATS = ("floats", "drifts", "is floating")
FLIES = ("flies", "is flying", "hovers")
ALL_FINISHES = ("plain", "plain", "striped", "dotted", "checked", "shiny")
COAT = ("plain", "plain", "plain", "dotted", "striped")
CLOTH = ("plain", "plain", "striped", "dotted", "checked")
HARD = ("plain", "plain", "striped", "shiny")
PLAIN = ("plain",)

KINDS = {
    "dog": Kind(
        ("dog", "dog", "puppy", "hound"), ("animal", "pet"), RESTS, 36, 120, FUR, COAT, """
        polygon body 16 54 2 24 9 20 28 46
        rectangle dark 30 62 40 99
        rectangle dark 80 62 90 99
        rectangle body 20 62 31 100
        rectangle body 70 62 81 100
        ellipse body 14 38 98 76
        ellipse body 72 6 112 50
        ellipse light 98 24 119 45
        ellipse dark 72 9 86 42
        ellipse #111111 97 18 103 25
        ellipse #111111 112 27 119 34"""),
    "cat": Kind(
        ("cat", "cat", "kitten"), ("animal", "pet"), ("sits", "is sitting", "rests", "waits"), 36, 80, FUR, COAT, """
        line body 9 58 92 74 84 75 56
        ellipse body 16 40 64 100
        polygon body 17 24 19 0 38 12
        polygon body 63 24 61 0 42 12
        ellipse body 15 6 65 50
        ellipse light 22 88 38 100
        ellipse light 42 88 58 100
        ellipse #4cb050 25 21 34 31
        ellipse #4cb050 46 21 55 31
        ellipse #111111 28 23 31 30
        ellipse #111111 49 23 52 30
        ellipse #e88a9a 36 33 44 39"""),
    "horse": Kind(
        ("horse", "horse", "pony"), ANIMAL, STANDS, 62, 124, FUR, ("plain", "plain", "dotted"), """
        line dark 8 18 44 8 54 5 76
        rectangle dark 38 58 46 99
        rectangle dark 84 58 92 99
        rectangle body 24 56 34 100
        rectangle body 74 56 84 100
        ellipse body 14 36 100 70
        polygon body 74 46 94 8 108 18 100 58
        ellipse body 92 4 123 26
        polygon dark 72 44 90 4 98 6 84 46
        polygon dark 94 6 98 0 102 8
        ellipse #111111 104 10 108 14"""),
    "sheep": Kind(
        ("sheep", "sheep", "lamb"), ANIMAL, STANDS, 38, 120, ("white", "black", "brown", "gray"), PLAIN, """
        rectangle #3b3530 32 70 40 100
        rectangle #3b3530 78 70 86 100
        ellipse body 10 36 52 82
        ellipse body 62 34 104 82
        ellipse body 30 26 84 86
        ellipse #3b3530 88 20 117 58
        ellipse #ffffff 100 30 106 37"""),
    "bird": Kind(
        ("bird", "bird", "sparrow"), ("animal", "creature"), ("sits", "is sitting", "rests"), 24, 124, PAINT, PLAIN, """
        line #e0902a 4 48 80 48 100
        line #e0902a 4 60 80 60 100
        polygon dark 24 54 0 40 2 68
        ellipse body 14 34 92 86
        ellipse body 72 10 110 50
        polygon #f5a623 108 24 123 31 107 37
        polygon dark 32 52 76 48 50 84
        ellipse #111111 92 22 98 28"""),
    "duck": Kind(
        ("duck", "duck", "water bird"), BIRD, ("swims", "is swimming", "floats"), 26, 120,
        ("white", "yellow", "brown", "gray"), PLAIN, """
        polygon body 24 58 2 42 12 76
        ellipse body 6 46 100 98
        ellipse body 70 4 108 48
        polygon #f08c1e 105 20 119 28 104 35
        ellipse dark 24 56 74 84
        ellipse #111111 90 17 96 24"""),
    "man": Kind(
        ("man", "man", "guy"), PERSON, STANDS, 70, 44, PAINT, CLOTH, """
        rectangle #2f3b52 12 60 21 97
        rectangle #2f3b52 23 60 32 97
        ellipse #222222 7 94 21 100
        ellipse #222222 23 94 37 100
        line body 8 12 34 5 54
        line body 8 32 34 39 54
        ellipse #e8b58f 1 52 9 61
        ellipse #e8b58f 35 52 43 61
        rectangle body 10 27 34 64
        ellipse #4a2f1b 12 0 32 22
        ellipse #e8b58f 14 5 30 27
        ellipse #222222 17 13 20 16
        ellipse #222222 24 13 27 16""", wears="shirt"),
    "woman": Kind(
        ("woman", "woman", "lady"), PERSON, STANDS, 68, 50, PAINT, CLOTH, """
        ellipse #7a3f1d 12 0 38 36
        rectangle #e8b58f 18 74 23 97
        rectangle #e8b58f 27 74 32 97
        ellipse #8a2230 13 94 24 100
        ellipse #8a2230 26 94 37 100
        line #e8b58f 6 18 34 6 56
        line #e8b58f 6 32 34 44 56
        polygon body 16 28 34 28 48 78 2 78
        ellipse #e8b58f 16 5 34 28
        ellipse #222222 19 14 22 17
        ellipse #222222 28 14 31 17""", wears="dress"),
    "snowman": Kind(
        ("snowman",), ("figure",), STANDS, 60, 60, PAINT[:7], ("plain", "striped"), """
        ellipse #fbfdff 4 48 56 100
        ellipse #fbfdff 12 24 48 62
        ellipse #fbfdff 17 6 43 34
        rectangle #2a2a30 20 0 40 9
        rectangle #2a2a30 13 8 47 12
        rectangle body 14 30 46 39
        rectangle body 34 34 44 60
        polygon #f08c1e 30 18 45 22 30 25
        ellipse #222222 23 14 27 18
        ellipse #222222 33 14 37 18""", wears="scarf"),
    "car": Kind(
        ("car", "car", "automobile"), VEHICLE, PARKED, 44, 220, (*PAINT, "black", "gray"), HARD, """
        polygon body 5 84 3 54 40 46 68 6 150 6 184 46 214 54 217 84
        polygon #cfe8f5 54 46 76 14 106 14 106 46
        polygon #cfe8f5 114 46 114 14 146 14 170 46
        ellipse #ffe08a 205 56 215 66
        ellipse #26262a 26 60 66 100
        ellipse #b8bcc2 38 72 54 88
        ellipse #26262a 150 60 190 100
        ellipse #b8bcc2 162 72 178 88""", surface=0.08),
    "bus": Kind(
        ("bus", "bus", "coach"), VEHICLE, PARKED, 66, 200, ("red", "yellow", "green", "blue", "white", "orange"),
        ("plain", "plain", "shiny", "striped"), """
        rectangle body 2 4 198 88
        rectangle #cfe8f5 10 14 42 44
        rectangle #cfe8f5 48 14 80 44
        rectangle #cfe8f5 86 14 118 44
        rectangle #cfe8f5 124 14 156 44
        rectangle #9cc4d8 164 14 192 84
        ellipse #26262a 26 70 56 100
        ellipse #b8bcc2 35 79 47 91
        ellipse #26262a 126 70 156 100
        ellipse #b8bcc2 135 79 147 91""", surface=0.05),
    "bicycle": Kind(
        ("bicycle", "bike", "bike"), VEHICLE, PARKED, 42, 150, (*PAINT, "black"), PLAIN, """
        ring #2d2d33 5 2 42 60 100
        ring #2d2d33 5 90 42 148 100
        line body 8 31 71 56 34 106 34 72 72 31 71
        line body 8 72 72 52 20
        line body 8 119 71 102 16
        line #2d2d33 7 42 20 64 20
        line #2d2d33 6 100 17 118 12"""),
    "boat": Kind(
        ("boat", "boat", "sailboat", "ship"), VEHICLE, ("floats", "sails", "drifts", "is sailing"), 60, 110, PAINT,
        ("plain", "plain", "striped", "dotted"), """
        line #6b4423 5 55 2 55 72
        polygon #fbfbf4 60 6 100 62 60 62
        polygon body 50 16 50 62 14 62
        polygon body 0 70 110 70 92 100 18 100"""),
    "house": Kind(
        ("house", "house", "home"), BUILDING, STANDS, 92, 110, ("red", "yellow", "white", "blue", "pink", "orange"),
        PLAIN, """
        rectangle #8a4b3c 80 6 92 40
        rectangle body 8 44 102 100
        polygon dark 0 46 55 2 110 46
        rectangle #5b3a1e 47 66 64 100
        rectangle #d8efff 18 56 37 75
        rectangle #d8efff 74 56 93 75
        line #ffffff 2 27 56 27 75
        line #ffffff 2 83 56 83 75"""),
    "tree": Kind(
        ("tree", "tree", "leafy tree"), PLANT, STANDS, 92, 80, ("green", "green", "orange", "yellow", "pink"), PLAIN, """
        rectangle #6b4423 34 56 46 100
        ellipse body 1 22 48 72
        ellipse body 32 22 79 72
        ellipse body 13 0 67 54"""),
    "fir": Kind(
        ("fir tree", "pine tree", "tree"), PLANT, STANDS, 88, 70, ("green",), PLAIN, """
        rectangle #6b4423 30 84 40 100
        polygon body 35 40 70 88 0 88
        polygon body 35 20 63 64 7 64
        polygon body 35 0 56 38 14 38"""),
    "flower": Kind(
        ("flower", "flower", "blossom"), PLANT, ("grows", "stands", "blooms"), 34, 70, PAINT, PLAIN, """
        line #3a8f3a 6 35 50 35 100
        ellipse #3a8f3a 36 70 62 83
        ellipse #3a8f3a 8 78 34 91
        ellipse body 22 0 48 26
        ellipse body 22 36 48 62
        ellipse body 2 10 28 36
        ellipse body 42 10 68 36
        ellipse body 2 28 28 54
        ellipse body 42 28 68 54
        ellipse #ffd24a 24 20 46 42"""),
    "vase": Kind(
        ("vase", "vase of flowers", "vase"), THING, IS, 38, 60, PAINT, CLOTH, """
        line #3a8f3a 4 28 54 16 20
        line #3a8f3a 4 30 54 31 12
        line #3a8f3a 4 32 54 46 22
        ellipse #e85d75 6 8 26 28
        ellipse #ffd24a 21 0 41 20
        ellipse #e85d75 36 12 56 32
        polygon body 20 46 40 46 38 56 52 76 42 100 18 100 8 76 22 56"""),
    "ball": Kind(
        ("ball", "ball", "round toy"), TOY, LIES, 26, 100, PAINT, ALL_FINISHES, """
        ellipse body 1 1 99 99"""),
    "box": Kind(
        ("box", "box", "crate"), THING, LIES, 34, 100, (*PAINT, "brown"), ALL_FINISHES, """
        polygon body 0 28 72 28 72 100 0 100
        polygon light 0 28 28 4 100 4 72 28
        polygon dark 72 28 100 4 100 76 72 100""", surface=0.16),
    "kite": Kind(
        ("kite",), TOY, FLIES, 44, 84, PAINT, CLOTH, """
        line #555555 3 42 76 52 84 36 92 48 99
        polygon body 42 0 82 30 42 78 2 30
        line #555555 2 42 0 42 78
        line #555555 2 2 30 82 30"""),
    "balloon": Kind(
        ("hot air balloon", "balloon", "balloon"), ("aircraft",), FLIES, 62, 78, PAINT, CLOTH, """
        line #555555 2 22 70 30 86
        line #555555 2 56 70 48 86
        ellipse body 0 0 78 78
        rectangle #8b5a2b 29 84 49 100"""),
    "umbrella": Kind(
        ("umbrella", "parasol", "beach umbrella"), ("sunshade",), STANDS, 74, 120, PAINT, CLOTH, """
        line #8b6f4e 5 60 8 60 100
        dome body 0 4 120 96"""),
    "chair": Kind(
        ("chair", "chair", "seat"), FURNITURE, IS, 54, 60, (*PAINT, "brown"), CLOTH, """
        rectangle body 8 0 52 48
        rectangle dark 4 64 12 100
        rectangle dark 48 64 56 100
        polygon light 1 60 8 48 52 48 59 60
        rectangle body 1 60 59 69""", surface=0.55),
    "table": Kind(
        ("table", "table", "desk"), FURNITURE, IS, 42, 180, ("brown", "white", "red", "blue", "green", "yellow"),
        ("plain", "plain", "shiny"), """
        rectangle dark 30 26 39 84
        rectangle dark 141 26 150 84
        polygon light 22 4 158 4 180 24 0 24
        rectangle body 0 24 180 38
        rectangle body 8 38 20 100
        rectangle body 160 38 172 100""", surface=0.16),
    "sofa": Kind(
        ("sofa", "couch", "sofa"), FURNITURE, IS, 52, 190, PAINT, CLOTH, """
        rectangle #4a3423 16 90 26 100
        rectangle #4a3423 164 90 174 100
        rectangle body 12 0 178 64
        rectangle light 20 52 170 74
        rectangle body 20 72 170 92
        rectangle body 0 32 24 93
        rectangle body 166 32 190 93""", surface=0.58),
    "lamp": Kind(
        ("lamp", "floor lamp", "lamp"), ("light",), STANDS, 84, 50, PAINT, CLOTH, """
        line #555555 4 25 40 25 96
        ellipse #555555 8 93 42 100
        polygon body 13 0 37 0 50 40 0 40"""),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A place: the casts that can be in it, its words, and the rows (pixels) between which things stand."""

    ground: tuple[str, ...]
    air: tuple[str, ...]
    water: tuple[str, ...]
    phrases: tuple[str, ...]
    sentences: tuple[str, ...]
    ground_top: int
    horizon: int
    sky: tuple[str, str]  # colours at the top and at the horizon
    floor: tuple[str, str]  # colours at the back and at the front


SETTINGS = {
    "meadow": Setting(
        ("dog", "horse", "sheep", "tree", "house", "ball", "flower", "man", "woman", "bicycle", "car", "cat", "box"),
        ("kite", "balloon", "bird"), (),
        ("in a meadow", "on the grass", "in a green field", "outdoors", "in the countryside"),
        ("The grass is green.", "It is a fine day in the country.", "Green hills lie behind."),
        98, 86, ("#5aa2e8", "#d6ecfb"), ("#8fcb5c", "#4d9a3a")),
    "beach": Setting(
        ("dog", "man", "woman", "ball", "umbrella", "chair", "box", "horse", "umbrella"),
        ("kite", "bird"), ("boat", "boat", "duck"),
        ("on the beach", "on the sand", "by the sea", "at the seaside", "outdoors"),
        ("The sea is calm.", "The water is blue.", "It is a day at the beach."),
        126, 78, ("#4aa8e6", "#dff3fb"), ("#ecd9a0", "#dcb973")),
    "street": Setting(
        ("car", "bus", "bicycle", "man", "woman", "dog", "cat", "house", "tree", "box", "car"),
        ("balloon", "bird"), (),
        ("on the street", "in the city", "on a road", "in town", "outdoors"),
        ("Tall buildings line the street.", "The road is empty otherwise.", "It is a quiet day in the city."),
        120, 112, ("#8fb4d2", "#e6edf0"), ("#8b8e94", "#5f6268")),
    "room": Setting(
        ("chair", "table", "sofa", "lamp", "cat", "dog", "ball", "box", "vase", "man", "woman", "table"),
        (), (),
        ("in a room", "in the living room", "indoors", "inside a house", "at home"),
        ("There is a window in the wall.", "The floor is made of wood.", "The room is tidy."),
        134, 124, ("#f2e3cb", "#e2cba6"), ("#b98a58", "#94653a")),
    "night": Setting(
        ("house", "tree", "car", "bus", "cat", "dog", "man", "woman", "bicycle", "horse"),
        ("balloon",), (),
        ("at night", "under the moon", "in the dark", "under a starry sky", "outdoors"),
        ("The moon is in the sky.", "It is dark.", "Stars shine above."),
        104, 94, ("#10163c", "#3a4478"), ("#4d6a5a", "#2c4438")),
    "snow": Setting(
        ("fir", "house", "snowman", "man", "woman", "dog", "horse", "sheep", "car", "box", "cat"),
        ("bird", "kite"), (),
        ("in the snow", "on a snowy field", "in winter", "on a cold day", "outdoors"),
        ("The ground is covered with snow.", "It is a winter day.", "Snow lies everywhere."),
        104, 90, ("#a9bfd3", "#e9eff4"), ("#f4f8fc", "#d5e1ee")),
    "lake": Setting(
        ("dog", "man", "woman", "tree", "chair", "bicycle", "horse", "fir", "cat", "flower"),
        ("bird", "balloon", "kite"), ("boat", "duck", "duck"),
        ("by a lake", "at the lake", "on the shore", "near the water", "outdoors"),
        ("The lake is still.", "Mountains rise behind the water.", "The water is calm."),
        128, 72, ("#86b9e6", "#f6e6d4"), ("#8cb866", "#5d8f46")),
}  # fmt: skip

PERCHERS = ("cat", "ball", "bird", "box", "vase", "dog")
INDOOR_ONLY = ("vase",)
OUTDOOR_ONLY = ("bird",)

# ---------------------------------------------------------------------------------------------------------------------
# Scenes: who stands where
# ---------------------------------------------------------------------------------------------------------------------


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
        return KINDS[self.kind].height * self.scale * SIZE_FACTOR[self.size]

    @property
    def width(self) -> float:
        return self.height * KINDS[self.kind].width / 100

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - self.width / 2, self.y - self.height, self.x + self.width / 2, self.y


@dataclass
class Scene:
    """`things[0]` is in `relation` (left, right, front, on, above) to `things[1]`; the others are further away."""

    setting: str
    things: list[Thing]
    relation: str
    sun: bool


def make_thing(rng: random.Random, kind: str, place: str) -> Thing:
    """A thing of this kind with looks of its own, not placed yet."""
    looks = KINDS[kind]
    size = rng.choice(("small", "normal", "normal", "large"))
    return Thing(kind, place, rng.choice(looks.colours), size, rng.choice(looks.finishes), 0.0, 0.0, 1.0)


def overlap(a: Thing, b: Thing) -> float:
    """Common area of two things' boxes as a part of the smaller box."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.box, b.box
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    return max(0.0, width) * max(0.0, height) / min(a.width * a.height, b.width * b.height)


def inside(thing: Thing) -> bool:
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
    """A random scene of two to five things; deterministic in the state of `rng`."""
    while True:
        scene = propose(rng)
        if scene is not None:
            return scene


# ---------------------------------------------------------------------------------------------------------------------
# Pictures
# ---------------------------------------------------------------------------------------------------------------------

OVERSAMPLING = 2  # drawn at twice the size, then averaged: smooth edges


@cache
def shapes(kind: str) -> tuple[tuple[str, str, tuple[float, ...]], ...]:
    """A kind's drawing, parsed: (shape, paint, numbers) in painter's order."""
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
            return ((x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (0.3 * period) ** 2) * np.float32(1)
        case "checked":
            return ((x // (period * 0.7) + y // (period * 0.7)) % 2).astype(np.float32)
        case "shiny":
            u, v = x / width, y / height
            glint = np.exp(-((u - 0.3) ** 2 + (v - 0.28) ** 2) / 0.02) + 0.6 * np.exp(-((u + v * 0.6 - 1.05) ** 2) / 0.004)
            return np.minimum(glint, 1)
    return np.zeros((height, width), np.float32)


def draw_thing(thing: Thing, rng: random.Random) -> Image.Image:
    """The thing alone on a transparent ground, RGBA, OVERSAMPLING times its size in the picture."""
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
    return Image.composite(
        Image.new("RGB", (width, height), bottom),
        Image.new("RGB", (width, height), top),
        Image.linear_gradient("L").resize((width, height)),
    )


def draw_background(scene: Scene, rng: random.Random) -> Image.Image:
    """The empty setting, RGB, OVERSAMPLING times the picture's size."""
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
                draw.polygon([(x - r) * s, horizon, x * s, y * s, (x + r) * s, horizon], fill=rng.choice(("#8795ad", "#76869f")))
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
            x, y, w = rng.uniform(0, WIDTH), rng.uniform(setting.horizon + 4, setting.ground_top - 4), rng.uniform(8, 22)
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
    """The scene as a WIDTH x HEIGHT RGB picture, things further away first."""
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


# ---------------------------------------------------------------------------------------------------------------------
# Captions
# ---------------------------------------------------------------------------------------------------------------------

RELATION_WORDS = {
    "left": ("to the left of", "left of", "next to", "beside", "near"),
    "right": ("to the right of", "right of", "next to", "beside", "near"),
    "front": ("in front of", "in front of", "near", "close to"),
    "on": ("on", "on top of", "on"),
    "above": ("above", "over", "high above"),
}
INVERSE_WORDS = {
    "left": ("to the right of", "right of", "next to", "beside", "near"),
    "right": ("to the left of", "left of", "next to", "beside", "near"),
    "front": ("behind", "behind", "near", "close to"),
    "above": ("below", "under", "beneath"),
}
PLURALS = {
    "animal": ("animals", "creatures"),
    "vehicle": ("vehicles",),
    "person": ("people", "persons"),
    "plant": ("plants",),
    "piece of furniture": ("pieces of furniture",),
}


def with_article(words: str) -> str:
    if words == "someone" or words.startswith("someone "):
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words


def phrase(thing: Thing, rng: random.Random, detail: int, general: bool = False) -> str:
    """A noun phrase for a thing with at most `detail` of its attributes, by its kind or by a hypernym."""
    kind = KINDS[thing.kind]
    noun = rng.choice(kind.general if general else kind.nouns)
    if kind.wears in ("shirt", "dress") and thing.size == "small" and not general:
        noun = rng.choice(("boy", "boy", "kid") if kind.wears == "shirt" else ("girl", "girl", "kid"))
    looks = [rng.choice(COLOUR_WORDS.get(thing.colour, (thing.colour,)))]
    if FINISH_WORDS[thing.finish]:
        looks.insert(0, rng.choice(FINISH_WORDS[thing.finish]))
    size = [] if kind.wears in ("shirt", "dress") else list(SIZE_WORDS[thing.size])
    size = [rng.choice(size)] if size else []
    attributes = [*size, *looks]
    kept = sorted(rng.sample(range(len(attributes)), min(detail, len(attributes))))
    if detail and len(attributes) - 1 not in kept and rng.random() < 0.6:
        kept[-1] = len(attributes) - 1
    chosen = [attributes[i] for i in kept]
    if not kind.wears:
        return with_article(" ".join([*chosen, noun]))
    words = [word for word in chosen if word not in size]
    base = with_article(" ".join([*(word for word in chosen if word in size), noun]))
    return f"{base} {'with' if kind.wears == 'scarf' else 'in'} {with_article(' '.join([*words, kind.wears]))}" if words else base


def verb(thing: Thing, rng: random.Random) -> str:
    return rng.choice(FLIES if thing.place == "air" else KINDS[thing.kind].verbs)


def sentence(words: str) -> str:
    return words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


def whole(scene: Scene, rng: random.Random) -> str:
    """The two main things with most attributes, their relation, and the setting."""
    first, second = scene.things[:2]
    core = f"{phrase(first, rng, 2)} {verb(first, rng)} {rng.choice(RELATION_WORDS[scene.relation])} {phrase(second, rng, 2)}"
    where = rng.choice(SETTINGS[scene.setting].phrases)
    return sentence(rng.choice((f"{core} {where}", f"{where}, {core}", core)))


def turned(scene: Scene, rng: random.Random) -> str:
    """The same relation seen from the second thing."""
    first, second = scene.things[:2]
    if scene.relation == "on":
        return sentence(f"{phrase(second, rng, 1)} with {phrase(first, rng, 1)} {rng.choice(('on it', 'on top'))}")
    words = rng.choice(INVERSE_WORDS[scene.relation])
    return sentence(f"{phrase(second, rng, 1)} {verb(second, rng)} {words} {phrase(first, rng, 1)}")


def vague(scene: Scene, rng: random.Random) -> str:
    """Hypernyms: what kind of thing is where."""
    first, second = scene.things[:2]
    where = rng.choice(SETTINGS[scene.setting].phrases)
    common = KINDS[first.kind].general[0]
    if common == KINDS[second.kind].general[0] and common in PLURALS:
        return sentence(f"two {rng.choice(PLURALS[common])} {where}")
    if rng.random() < 0.5:
        return sentence(f"{phrase(first, rng, 1, True)} {rng.choice(RELATION_WORDS[scene.relation])} {phrase(second, rng, 0)} {where}")
    return sentence(f"{phrase(first, rng, 0)} and {phrase(second, rng, 1, True)} {where}")


def partial(scene: Scene, rng: random.Random) -> str:
    """One of the things, and perhaps where."""
    thing = rng.choice(scene.things[:2])
    name, where = phrase(thing, rng, 3), rng.choice(SETTINGS[scene.setting].phrases)
    return sentence(rng.choice((f"{name} {where}", f"there is {name} {where}", f"a picture of {name}", f"{where} there is {name}")))


def narrated(scene: Scene, rng: random.Random) -> str:
    """Two sentences: the main things, then something else there is to see."""
    first, second, *others = scene.things
    core = f"{phrase(first, rng, 1)} {verb(first, rng)} {rng.choice(RELATION_WORDS[scene.relation])} {phrase(second, rng, 1)}"
    if others:
        other = rng.choice(others)
        name = phrase(other, rng, 1)
        more = {
            "ground": (f"{name} is in the background", f"behind them there is {name}", f"{name} can be seen further away"),
            "air": (f"{name} {verb(other, rng)} in the sky", f"there is {name} in the air"),
            "water": (f"{name} {verb(other, rng)} on the water", f"on the water there is {name}"),
        }[other.place]
    elif scene.sun and rng.random() < 0.6:
        more = ("the sun is shining", "it is a sunny day")
    else:
        more = SETTINGS[scene.setting].sentences
    return sentence(core) + " " + sentence(rng.choice(more))


CAPTION_STYLES: tuple[Callable[[Scene, random.Random], str], ...] = (whole, turned, vague, partial, narrated)


def describe(scene: Scene, rng: random.Random) -> list[str]:
    """Five different captions of a scene, one of each style, in random order."""
    captions: list[str] = []
    for style in rng.sample(CAPTION_STYLES, CAPTIONS_PER_IMAGE):
        caption = style(scene, rng)
        while caption in captions:
            caption = style(scene, rng)
        captions.append(caption)
    return captions


# ---------------------------------------------------------------------------------------------------------------------
# Regions: boxes and features, from the pixels alone
# ---------------------------------------------------------------------------------------------------------------------

SALIENT = 10  # boxes found in the picture; 1 + 9 + 16 of the fixed grid make up the 36


@cache
def grid_boxes() -> Array:
    """[26, 4] boxes (x1 y1 x2 y2, pixels): the whole picture, its 3 x 3 and its 4 x 4 tiles, row by row."""
    boxes = []
    for n in (1, 3, 4):
        x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
        boxes.append(np.stack([x, y, x + 1 / n, y + 1 / n], axis=-1).reshape(-1, 4))
    return (np.concatenate(boxes) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32)


def salient_boxes(pixels: NDArray[np.uint8]) -> Array:
    """[10, 4] boxes around what stands out, largest first.

    A pixel stands out that differs from the median colour of its row (sky, sea, floor run along rows). Connected
    areas of such pixels are candidates, all together and split by colour, so that a red ball before a blue house gets
    a box of its own. Candidates that nearly repeat a larger one are dropped; what is missing is filled up with the
    picture's quarters and halves.
    """
    cell = 4
    small = pixels.reshape(HEIGHT // cell, cell, WIDTH // cell, cell, 3).mean(axis=(1, 3), dtype=np.float32)
    contrast = np.abs(small - np.median(small, axis=1, keepdims=True)).max(axis=2)
    salient = contrast > 32
    level = np.floor(small / 64).astype(int) @ [1, 4, 16]
    # One plane for all salient cells, and one for each coarse colour; areas connect within a plane only.
    values = np.unique(level[salient])
    planes = np.concatenate([salient[None], salient & (level == values[:, None, None])])
    within = np.zeros((3, 3, 3), bool)
    within[1] = True
    labels, count = ndimage.label(planes, structure=within)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    found = [
        (float(x.start), float(y.start), float(x.stop), float(y.stop))
        for (_, y, x), cells in zip(ndimage.find_objects(labels), area, strict=True)
        if cells >= 6
    ]
    found.sort(key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box))
    boxes = np.array([*found, *FILLERS], np.float32)
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if len(kept) == SALIENT:
            break
        if not kept or np.max(intersection_over_union(box, boxes[kept])) < 0.7:
            kept.append(i)
    return boxes[kept] * np.float32(cell)


FILLERS = [
    (16.0, 12.0, 48.0, 36.0),
    *((x, y, x + 32.0, y + 24.0) for y in (0.0, 24.0) for x in (0.0, 32.0)),
    (0.0, 0.0, 32.0, 48.0), (32.0, 0.0, 64.0, 48.0), (0.0, 0.0, 64.0, 24.0), (0.0, 24.0, 64.0, 48.0), (16.0, 0.0, 48.0, 48.0),
    (8.0, 6.0, 56.0, 42.0),
]  # fmt: skip


def intersection_over_union(box: Array, boxes: Array) -> Array:
    """[4] against [n, 4] -> [n]."""
    size = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    common = size.prod(axis=1)
    return common / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - common)


ORIENTATIONS = 8


def pixel_maps(pixels: NDArray[np.uint8]) -> Array:
    """[H, W, 3] -> [H/2, W/2, 36]: soft colour histogram (27), edge strength by orientation (8), fine texture (1)."""
    half = pixels.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3), dtype=np.float32) / np.float32(255)
    levels = np.maximum(0, 1 - 2 * np.abs(half[..., None] - np.array([0, 0.5, 1], np.float32)))  # [h, w, 3, 3]
    red, green, blue = levels[..., 0, :], levels[..., 1, :], levels[..., 2, :]
    colour = red[..., :, None, None] * green[..., None, :, None] * blue[..., None, None, :]
    grey = half.mean(axis=2)
    dy, dx = np.gradient(grey)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi * (ORIENTATIONS / np.pi)
    distance = np.abs(angle[..., None] - np.arange(ORIENTATIONS, dtype=np.float32))
    weight = np.maximum(0, 1 - np.minimum(distance, ORIENTATIONS - distance))
    fine = np.abs(grey - ndimage.uniform_filter(grey, 3))
    return np.concatenate(
        [colour.reshape(*grey.shape, 27), 4 * strength[..., None] * weight, 4 * fine[..., None]], axis=2, dtype=np.float32
    )


@cache
def projection(size: int) -> tuple[Array, Array]:
    """Fixed random weights [size, FEATURE_SIZE] and biases [FEATURE_SIZE]."""
    rng = np.random.default_rng(2022)
    weights = rng.normal(0, 1 / np.sqrt(size), (size, FEATURE_SIZE))
    return weights.astype(np.float32), rng.normal(0, 0.3, FEATURE_SIZE).astype(np.float32)


def region_features(pixels: NDArray[np.uint8], boxes: Array) -> Array:
    """Pixels [H, W, 3] and boxes [R, 4] (pixels) -> features [R, 256], each of its own region's pixels and place.

    Means of `pixel_maps` over the region and its 2 x 2 and 3 x 3 cells (colour layout, shape, texture), their square
    roots, the box's place and size; then one fixed random layer with ReLU: non-negative like a detector's features.
    """
    maps = pixel_maps(pixels)
    integral = np.zeros((maps.shape[0] + 1, maps.shape[1] + 1, maps.shape[2]))
    np.cumsum(maps, axis=0, out=integral[1:, 1:])
    np.cumsum(integral[1:, 1:], axis=1, out=integral[1:, 1:])

    cells = np.concatenate([grid[None] for grid in cell_grids()], axis=1)  # [1, 14, 4]
    origin, extent = boxes[:, None, [0, 1, 0, 1]], np.tile(boxes[:, None, 2:] - boxes[:, None, :2], 2)
    corners = (origin + cells * extent) / 2
    x1, y1 = np.floor(corners[..., :2]).astype(int).transpose(2, 0, 1)
    x2, y2 = np.ceil(corners[..., 2:]).astype(int).transpose(2, 0, 1)
    x2, y2 = np.minimum(x2, maps.shape[1]), np.minimum(y2, maps.shape[0])
    sums = integral[y2, x2] - integral[y1, x2] - integral[y2, x1] + integral[y1, x1]
    means = sums / ((x2 - x1) * (y2 - y1))[..., None]
    layout = np.sqrt(np.maximum(means, 0)).reshape(len(boxes), -1)

    place = boxes / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)
    described = np.concatenate([layout - 0.15, 2 * place - 1, 2 * (place[:, 2:] - place[:, :2]) - 1], axis=1)
    weights, bias = projection(described.shape[1])
    return np.maximum(5 * described.astype(np.float32) @ weights + bias, 0)


@cache
def cell_grids() -> tuple[Array, ...]:
    """Cells of a region in parts of its width and height: [1, 4], [4, 4], [9, 4]."""
    grids = []
    for n in (1, 2, 3):
        x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
        grids.append(np.stack([x, y, x + 1 / n, y + 1 / n], axis=-1).reshape(-1, 4).astype(np.float32))
    return tuple(grids)


def find_regions(pixels: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Picture [H, W, 3] -> boxes [36, 4] and features [36, 256].

    Order: the 26 grid boxes (whole, 3 x 3, 4 x 4, row by row), then the 10 salient ones, largest first. A network that
    flattens the regions thus sees the same place of the picture in the same 26 slots of every picture.
    """
    boxes = np.concatenate([grid_boxes(), salient_boxes(pixels)])
    return boxes, region_features(pixels, boxes)


# ---------------------------------------------------------------------------------------------------------------------
# The folder
# ---------------------------------------------------------------------------------------------------------------------

IMAGE_SIZE = np.dtype([("image_w", "<f4"), ("image_h", "<f4")])


def stamp(sizes: tuple[int, int, int]) -> str:
    return f"version {DEMO_VERSION}, pictures {' '.join(map(str, sizes))}\n"
