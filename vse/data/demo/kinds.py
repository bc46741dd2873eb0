"""Parts of demo scenes: colours, kinds of objects with their words and looks, and settings."""

from __future__ import annotations

from dataclasses import dataclass

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
        ("tree", "tree", "leafy tree"), PLANT, STANDS, 92, 80,
        ("green", "green", "orange", "yellow", "pink"), PLAIN, """
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
        ("on the beach", "on the sand", "by the sea", "at the seaside"),
        ("The sea is calm.", "The water is blue.", "It is a day at the beach."),
        126, 78, ("#4aa8e6", "#dff3fb"), ("#ecd9a0", "#dcb973")),
    "street": Setting(
        ("car", "bus", "bicycle", "man", "woman", "dog", "cat", "house", "tree", "box", "car"),
        ("balloon", "bird"), (),
        ("on the street", "in the city", "on a road", "in town"),
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
        ("at night", "under the moon", "in the dark", "under a starry sky"),
        ("The moon is in the sky.", "It is dark.", "Stars shine above."),
        104, 94, ("#10163c", "#3a4478"), ("#4d6a5a", "#2c4438")),
    "snow": Setting(
        ("fir", "house", "snowman", "man", "woman", "dog", "horse", "sheep", "car", "box", "cat"),
        ("bird", "kite"), (),
        ("in the snow", "on a snowy field", "in winter", "on a cold day"),
        ("The ground is covered with snow.", "It is a winter day.", "Snow lies everywhere."),
        104, 90, ("#a9bfd3", "#e9eff4"), ("#f4f8fc", "#d5e1ee")),
    "lake": Setting(
        ("dog", "man", "woman", "tree", "chair", "bicycle", "horse", "fir", "cat", "flower"),
        ("bird", "balloon", "kite"), ("boat", "duck", "duck"),
        ("by a lake", "at the lake", "on the shore", "near the water"),
        ("The lake is still.", "Mountains rise behind the water.", "The water is calm."),
        128, 72, ("#86b9e6", "#f6e6d4"), ("#8cb866", "#5d8f46")),
}  # fmt: skip

PERCHERS = ("cat", "ball", "bird", "box", "vase", "dog")
INDOOR_ONLY = ("vase",)
OUTDOOR_ONLY = ("bird",)
