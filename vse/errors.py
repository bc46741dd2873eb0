"""The exception for a user's mistake, and suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Something that the user gave (file, option, data) cannot be used.

    The message is one sentence: which file (and line or shape), what was expected, how to fix it. Scripts print it
    to stderr as `error: ...` without a traceback and exit with status 2
    (see `vse.exits.run_to_end`).
    """


def meant(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` with the known name that a mistyped one is nearest to, or nothing."""
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
