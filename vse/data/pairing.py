"""Match the ids of a feature file to pictures by name, stem, id or number, without guessing between two readings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from vse.data.pictures import first_of
from vse.data.sources.entry import Entry
from vse.errors import InputError

Kind = Literal["name", "stem", "id", "id_number", "number"]

KINDS: dict[Kind, str] = {
    "name": "file names",
    "stem": "file names without suffix",
    "id": "the captions' own ids",
    "id_number": "the captions' own ids at the end of names",
    "number": "numbers at the end of file names",
}
"""What an id may be to a picture, the likeliest first."""

EXACT, DERIVED = ("name", "stem"), ("id_number", "number")
"""Kinds that compare whole names, and kinds that compare what is taken from names."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".npy", ".npz", ".h5", ".hdf5"}


@dataclass(frozen=True)
class Reading:
    """The pictures that ids refer to under one reading."""

    kind: Kind
    picture: dict[int, int]
    """Place of an entry -> place of its picture; other entries are of no picture."""
    pictures: int
    """How many pictures there are."""

    @property
    def covered(self) -> int:
        """Number of pictures that have an entry."""
        return len(set(self.picture.values()))

    @property
    def complete(self) -> bool:
        """Whether every picture has an entry."""
        return self.covered == self.pictures


def read_ids_as(kind: Kind, entries: Sequence[Entry], names: Sequence[str], ids: Sequence[int]) -> Reading | None:
    """Read the ids of entries as one kind; None if several pictures would have one id.

    A name is compared by as many of its last parts (`folder/name`) as tell the pictures apart.
    """
    if kind in ("name", "stem"):
        found = _by_name([entry.image for entry in entries], names, stems=kind == "stem")
    else:
        keys = [_number(name) for name in names] if kind == "number" else [str(image_id) for image_id in ids]
        keyed = [(key, number) for number, key in enumerate(keys) if key is not None]
        place = dict(keyed)
        if len(place) < len(keyed):
            return None
        found = []
        for entry in entries:
            key = _integer(entry.image) if kind == "id" else _number(entry.image)
            found.append(None if key is None else place.get(key))
    if found is None:
        return None
    return Reading(kind, {row: picture for row, picture in enumerate(found) if picture is not None}, len(names))


def pair(
    entries: Sequence[Entry], names: Sequence[str], ids: Sequence[int], match: Kind | Literal["auto"], where: str
) -> Reading:
    """Decide what the ids of all entries are to the pictures.

    An exact reading (name, stem) that covers all pictures is taken, unless the captions' ids cover all of them too and
    say otherwise. Other readings are taken only where no two of them contradict each other.

    Args:
        names, ids: of each picture.
        where: the files, for messages.

    Raises:
        InputError: nothing fits, or two readings differ.
    """
    if match != "auto":
        reading = read_ids_as(match, entries, names, ids)
        if reading is None:
            raise InputError(f"{where}: --match {match} gives several images one id; choose another --match")
        if not reading.picture:
            raise InputError(_nothing_fits(entries, names, ids, where))
        if match in ("id", "id_number"):
            _check_first_id(reading, entries, ids, where)
        return reading
    readings = [reading for kind in KINDS if (reading := read_ids_as(kind, entries, names, ids)) and reading.picture]
    exact = any(reading.kind in EXACT for reading in readings)
    acceptable = [
        reading
        for reading in readings
        if reading.kind in (*EXACT, "id")
        or (not exact and (_same_series(reading, entries, names) if reading.kind == "number" else reading.complete))
    ]
    if not acceptable:
        raise InputError(_nothing_fits(entries, names, ids, where))
    best = max(acceptable, key=lambda reading: reading.covered)  # the first of KINDS among equals
    if best.kind not in EXACT or not best.complete:
        _check_first_id(best, entries, ids, where)
    for other in readings:
        weaker = other.kind == "id" and best.complete and not other.complete
        if best.kind in EXACT and (other.kind in DERIVED or weaker):
            continue
        contradiction = _contradiction(best, other)
        if contradiction is not None:
            row, one, another = contradiction
            raise InputError(
                f"{where}: {entries[row].image!r} is {names[one]} if ids are {_count(best)}, {names[another]} if they "
                f"are {_count(other)}; say which with --match {best.kind} or --match {other.kind}"
            )
    numbers = [other for other in readings if (other.kind == "number") != (best.kind == "number")]
    confirmed = any(other.picture == best.picture for other in numbers)
    if best.kind not in EXACT and not best.complete and not confirmed:
        missing = sorted(set(range(len(names))) - set(best.picture.values()))
        raise InputError(
            f"{where}: ids may be {_count(best)}, but that leaves out {first_of([names[place] for place in missing])}; "
            f"give all source files, or say --match {best.kind} if that is what they are"
        )
    return best


def _count(reading: Reading) -> str:
    return f"{KINDS[reading.kind]} ({reading.covered:,} of {reading.pictures:,} images)"


def _contradiction(one: Reading, other: Reading) -> tuple[int, int, int] | None:
    """Find an entry that two readings give to different pictures; return it and both pictures."""
    for row, picture in one.picture.items():
        if other.picture.get(row, picture) != picture:
            return row, picture, other.picture[row]
    return None


def _same_series(reading: Reading, entries: Sequence[Entry], names: Sequence[str]) -> bool:
    """Whether names with one beginning before the number go to names with one, and no two of them to one picture.

    A beginning that the pictures have too must go to itself. Bare numbers go to anything.
    """
    begins = {_number_and_begin(name)[1] for name in names}
    meant: dict[str, str] = {}
    for row, picture in reading.picture.items():
        own, other = _number_and_begin(entries[row].image)[1], _number_and_begin(names[picture])[1]
        if own and (meant.setdefault(own, other) != other or (own in begins and own != other)):
            return False
    images = {entries[row].image for row in reading.picture}
    return len(set(meant.values())) == len(meant) and len(images) == reading.covered


def _check_first_id(reading: Reading, entries: Sequence[Entry], ids: Sequence[int], where: str) -> None:
    """Refuse ids that may count from 1 where those of the captions count from 0: each row would go to another image."""
    place = {str(image_id + 1): picture for picture, image_id in enumerate(ids)}
    numbers = [_integer(entry.image) for entry in entries]
    if set(numbers) != set(place):
        return
    counted = Reading("id", {row: place[number] for row, number in enumerate(numbers) if number}, len(ids))
    if _contradiction(reading, counted) is not None:
        raise InputError(
            f"{where}: ids are {min(ids) + 1} and so on in the features, {min(ids)} and so on in the captions: they "
            "may be counted from 1; give features whose ids are file names or the right ids with --ids FILE, or say "
            "--match number if they are numbers in file names"
        )


def _nothing_fits(entries: Sequence[Entry], names: Sequence[str], ids: Sequence[int], where: str) -> str:
    return (
        f"{where}: none of {len(entries):,} images ({first_of([entry.image for entry in entries])}) is one of the "
        f"captions' (id {ids[0]}, {names[0]}, ...); give the captions of these images, or their ids with --ids FILE"
    )


def _by_name(images: Sequence[str], names: Sequence[str], stems: bool) -> list[int | None] | None:
    """Match images and pictures by the fewest last parts of the names that tell the pictures apart; None: none do."""
    parts = [_parts(name, stems) for name in names]
    for depth in range(1, max(map(len, parts)) + 1):
        place = {name[-depth:]: number for number, name in enumerate(parts)}
        if len(place) == len(parts):
            break
    else:
        return None
    found = []
    for image in images:
        own = _parts(image, stems)
        tails = (own[-length:] for length in range(min(depth, len(own)), 0, -1))
        found.append(next((place[tail] for tail in tails if tail in place), None))
    return found


def _parts(name: str, stem: bool) -> tuple[str, ...]:
    *folders, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
    return (*folders, _stem(last) if stem else last)


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name


def _integer(text: str) -> str | None:
    """Strip the leading zeros of an integer; None for other text."""
    return str(int(text)) if re.fullmatch(r"[0-9]{1,40}", text) else None


def _number(name: str) -> str | None:
    """Return the number at the end of a name without suffix, without leading zeros."""
    return _number_and_begin(name)[0]


def _number_and_begin(name: str) -> tuple[str | None, str]:
    """Return that number and what stands before it."""
    stem = _stem(_parts(name, stem=False)[-1])
    digits = re.search(r"(?<![0-9])[0-9]{1,40}$", stem)
    return (None, stem) if digits is None else (str(int(digits[0])), stem[: digits.start()])
