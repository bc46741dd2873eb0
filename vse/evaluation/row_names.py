"""Names of the rows of a comparison, from the options that distinguish them; find the row that a user means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from vse.errors import InputError
from vse.losses.table import canonical_name

ALWAYS = ("weights", "scores")
"""Digests of a model without a record: nothing else is known of it."""


def row_names(configurations: Sequence[Mapping[str, Any]], chosen: Sequence[AbstractSet[str]]) -> list[str]:
    """Name rows by their networks and the fewest options that tell them apart.

    The objective and what users set come first; anything else, such as a digest of the features, only where that is not
    enough.

    Args:
        configurations: of different rows, `network` among them.
        chosen: of every row, the keys that its commands set.
    """
    keys = list(dict.fromkeys(key for row in configurations for key in row if _base(key) != "network"))
    keys = [key for key in keys if len({_shown(row.get(key)) for row in configurations}) > 1]
    users = {"loss", "start loss"}.union(*chosen)
    first = sorted((key for key in keys if key in users), key=lambda key: key != "loss")
    telling = [key for key in keys if _base(key) in ALWAYS]

    def names(shown: Sequence[str]) -> list[str]:
        return [_name(row, shown) for row in configurations]

    for candidates in (first, [key for key in keys if key not in users]):
        while len(set(names(telling))) < len(configurations):
            best = max(candidates, key=lambda key: len(set(names([*telling, key]))), default=None)
            if best is None or len(set(names([*telling, best]))) == len(set(names(telling))):
                break
            telling.append(best)
            candidates = [key for key in candidates if key != best]
    for key in list(telling):
        fewer = [other for other in telling if other != key]
        if _base(key) not in ALWAYS and len(set(names(fewer))) == len(configurations):
            telling = fewer
    return names(telling)


def other_differences(
    configurations: Sequence[Mapping[str, Any]], chosen: Sequence[AbstractSet[str]], names: Sequence[str]
) -> list[str]:
    """List what users set differently that the names of the rows do not show."""
    shown = {word.split("=")[0] for name in names for word in name.split()}
    keys = dict.fromkeys(key for row in configurations for key in row if key in set().union(*chosen))
    return [
        key
        for key in keys
        if key.replace(" ", "_") not in shown and len({_shown(row.get(key)) for row in configurations}) > 1
    ]


def pick(names: Sequence[str], wanted: str, flag: str = "--against") -> int:
    """Return which name is meant: by its number from 1, the name itself, words of it or a part of it.

    Raises:
        InputError: none, or several; the message lists the names.
    """
    words = [canonical_name(word) for word in wanted.split()]
    exact = [place for place, name in enumerate(names) if wanted in (str(place + 1), name)]
    whole = [place for place, name in enumerate(names) if set(words) <= _words(name)]
    part = [place for place, name in enumerate(names) if all(word in name for word in words)]
    fitting = exact or whole or part
    if len(fitting) != 1:
        listed = "; ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
        number = "several rows fit" if fitting else "no row fits"
        raise InputError(f"{flag} {wanted}: {number}; give a number or a part of one name: {listed}")
    return fitting[0]


def short(value: Any) -> str:
    """Return a value as a name or an error states it: shapes joined, digests cut."""
    if isinstance(value, list):
        return "x".join(map(short, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:8] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def _base(key: str) -> str:
    return key.split(" ")[0]


def _name(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    shown = [(key, _shown(row.get(key))) for key in keys]
    parts = [f"{key}={value}" for key, value in shown if value is not None]
    return " ".join([str(row["network"]), *(re.sub(r"\s", "_", part) for part in parts)])


def _shown(value: Any) -> str | None:
    return None if value is None else short(value)


def _words(name: str) -> set[str]:
    """Words of a name, and the values of `option=value` among them."""
    return {part for word in name.split() for part in (word, word.partition("=")[2]) if part}
