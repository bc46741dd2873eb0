"""The one exception for a user's mistake."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave (file, option, data) cannot be used.

    The message is one sentence: which file (and line or shape), what was expected, how to mend it. Scripts print it
    to stderr as `error: ...` without a traceback and exit with status 2
    (see `vse.exits.run_to_end`).
    """
