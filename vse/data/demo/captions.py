"""Describe demo scenes in five differently worded captions, from detailed to vague."""

from __future__ import annotations

import random
from collections.abc import Callable

from vse.data.demo.kinds import COLOUR_WORDS, FINISH_WORDS, FLIES, KINDS, SETTINGS, SIZE_WORDS
from vse.data.demo.scenes import Scene, Thing

CAPTIONS_PER_IMAGE = 5

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
    """Put the indefinite article before words."""
    if words == "someone" or words.startswith("someone "):
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words


def phrase(thing: Thing, rng: random.Random, detail: int, general: bool = False) -> str:
    """Form a noun phrase for a thing with at most `detail` of its attributes, by its kind or by a hypernym."""
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
    return (
        f"{base} {'with' if kind.wears == 'scarf' else 'in'} {with_article(' '.join([*words, kind.wears]))}"
        if words
        else base
    )


def verb(thing: Thing, rng: random.Random) -> str:
    """Choose what a thing does."""
    return rng.choice(FLIES if thing.place == "air" else KINDS[thing.kind].verbs)


def sentence(words: str) -> str:
    """Begin words with a capital and end them with a full stop."""
    return words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


def whole(scene: Scene, rng: random.Random) -> str:
    """Name the two main things with most attributes, their relation, and the setting."""
    first, second = scene.things[:2]
    relation = rng.choice(RELATION_WORDS[scene.relation])
    core = f"{phrase(first, rng, 2)} {verb(first, rng)} {relation} {phrase(second, rng, 2)}"
    where = rng.choice(SETTINGS[scene.setting].phrases)
    return sentence(rng.choice((f"{core} {where}", f"{where}, {core}", core)))


def turned(scene: Scene, rng: random.Random) -> str:
    """Tell the same relation, seen from the second thing."""
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
        names = f"{phrase(first, rng, 1)} and {phrase(second, rng, 1)}"
        return sentence(f"two {rng.choice(PLURALS[common])} {where}, {names}")
    if rng.random() < 0.5:
        relation = rng.choice(RELATION_WORDS[scene.relation])
        return sentence(f"{phrase(first, rng, 2, True)} {relation} {phrase(second, rng, 1)} {where}")
    return sentence(f"{phrase(first, rng, 1)} and {phrase(second, rng, 2, True)} {where}")


def partial(scene: Scene, rng: random.Random) -> str:
    """One of the things, and perhaps where."""
    thing = rng.choice(scene.things[:2])
    name, where = phrase(thing, rng, 3), rng.choice(SETTINGS[scene.setting].phrases)
    return sentence(
        rng.choice((f"{name} {where}", f"there is {name} {where}", f"a picture of {name}", f"{where} there is {name}"))
    )


def narrated(scene: Scene, rng: random.Random) -> str:
    """Two sentences: the main things, then something else there is to see."""
    first, second, *others = scene.things
    relation = rng.choice(RELATION_WORDS[scene.relation])
    core = f"{phrase(first, rng, 1)} {verb(first, rng)} {relation} {phrase(second, rng, 1)}"
    if others:
        other = rng.choice(others)
        name = phrase(other, rng, 1)
        choices: dict[str, tuple[str, ...]] = {
            "ground": (
                f"{name} is in the background",
                f"behind them there is {name}",
                f"{name} can be seen further away",
            )
            if other.y < min(first.y, second.y)
            else (f"{name} is there, too", f"there is also {name}"),
            "air": (f"{name} {verb(other, rng)} in the sky", f"there is {name} in the air"),
            "water": (f"{name} {verb(other, rng)} on the water", f"on the water there is {name}"),
        }
        more = choices[other.place]
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
