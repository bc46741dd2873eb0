"""Pictures and feature rows with names, orders and ids at random, for tests of what belongs to what."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hypothesis import assume
from hypothesis import strategies as st

DRAWS = int(os.environ.get("VSE_PAIRING_DRAWS", "0"))
"""How many draws at random; 0: a few, always the same."""


@dataclass
class Drawn:
    """Pictures, and feature rows whose true pictures are known because the row of picture k holds the number k."""

    names: list[str]
    ids: list[int]
    images: list[str]
    truth: list[int | None]
    plain: bool  # names hold no numbers and rows are called by them: refusing would be wrong


NAMES_OF = {
    "word": lambda k, number: f"{'abcdefghij'[k % 10]}{'qrstuvwxyz'[k // 10]}.jpg",
    "numbered": lambda k, number: f"img_{number:04}.jpg",
    "unpadded": lambda k, number: f"img_{number}.jpg",
    "number": lambda k, number: f"{number}.jpg",
    "folders": lambda k, number: f"{'ab'[k % 2]}/{number // 2}.jpg",
    "words_and_numbers": lambda k, number: f"{'ab'[number % 2]}_{number}.png",
    "hashes": lambda k, number: f"{number * 7919 % 100003}_{number * 104729 % 65536:x}.jpg",
}
"""How the picture of place k in the list is called."""

ROWS_OF = {
    "name": lambda name, number, image_id: name,
    "path": lambda name, number, image_id: f"/data/images/{name}",
    "stem": lambda name, number, image_id: name.rpartition(".")[0],
    "array": lambda name, number, image_id: name.rpartition(".")[0] + ".npz",
    "number": lambda name, number, image_id: str(number),
    "padded": lambda name, number, image_id: f"{number:012}",
    "id": lambda name, number, image_id: str(image_id),
    "next_id": lambda name, number, image_id: str(image_id + 1),
    "series": lambda name, number, image_id: f"COCO_{number:06}",
}
"""How the features of a picture are called."""


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    count = draw(st.integers(2, 12))
    first = draw(st.sampled_from([0, 1, 5]))
    step = draw(st.sampled_from([1, 1, 3]))
    numbers = draw(st.permutations(range(first, first + step * count, step)))
    form, kind = draw(st.sampled_from(sorted(NAMES_OF))), draw(st.sampled_from(sorted(ROWS_OF)))
    names = [NAMES_OF[form](k, number) for k, number in enumerate(numbers)]
    assume(len(set(names)) == count)
    assume(kind != "next_id" or form not in ("number", "folders"))  # there `2` is the name of 2.jpg
    ids = {
        "places": list(range(count)),
        "numbers": list(numbers),
        "own": draw(st.permutations(range(count))),
        "large": draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count, unique=True)),
    }[draw(st.sampled_from(["places", "numbers", "own", "large"]))]
    called = ids if form in ("word", "folders", "hashes") else numbers  # a number that nothing tells means nothing
    rows = [(ROWS_OF[kind](names[k], called[k], ids[k]), k) for k in range(count)]
    assume(len({image for image, _ in rows}) == count)
    whole = kind == "next_id"  # only where all rows are there can it be told
    left_out = 0 if whole else draw(st.sampled_from([0, 0, 1, count // 2]))
    rows = draw(st.permutations(rows))[: count - left_out]
    strangers = [
        (ROWS_OF[kind](f"zz_{k}.jpg", 10**7 + k, 10**7 + k), None)
        for k in range(0 if whole else draw(st.integers(0, 2)))
    ]
    images = draw(st.permutations(rows + strangers))
    plain = form == "word" and kind in ("name", "path", "stem", "array")
    return Drawn(names, ids, [image for image, _ in images], [k for _, k in images], plain)
