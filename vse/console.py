"""Output of scripts; a terminal that cannot take it never ends a run."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

READER_GONE = 141
"""Exit status if the reader of standard output is gone, as a shell reports SIGPIPE."""

_lost: OSError | None = None  # why standard output was given up


def say(line: str) -> None:
    """Print one line for the user, from the first process only."""
    if int(os.environ.get("RANK", "0")) == 0:
        _print(line, sys.stdout)


def warn(line: str) -> None:
    """Print one line of warning on stderr, from the first process only."""
    if int(os.environ.get("RANK", "0")) == 0:
        _print(f"warning: {line}", sys.stderr)


def complain(line: str) -> None:
    """Print one line on stderr, from any process."""
    _print(line, sys.stderr)


def printable(text: str) -> str:
    """Escape what is no character to read, such as line ends and commands to the terminal, in a name or a sentence."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def any_character() -> None:
    """Let terminals of few characters show `?` for the others."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def finish() -> int:
    """Write out what was printed and return the exit status that standard output deserves.

    0, or 1 with a sentence if it could not be written, or 141 if its reader was gone.
    """
    global _lost
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            _print("", stream, end="")
    if _lost is None:
        return 0
    if _lost.errno == errno.EPIPE:
        return READER_GONE
    complain(f"error: standard output could not be written ({_lost.strerror}); what was printed is incomplete")
    return 1


def _print(line: str, stream: TextIO | None, end: str = "\n") -> None:
    global _lost
    try:
        print(line, file=stream, end=end, flush=True)
    except (OSError, ValueError) as problem:  # full, closed by its reader, closed by us
        if stream is sys.stdout and _lost is None:
            _lost = problem if isinstance(problem, OSError) else OSError(errno.EBADF, "it is closed")
        _give_up(stream)


def _give_up(stream: TextIO | None) -> None:
    """Send what is still printed nowhere, so that no later line and no flush at exit fails."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno() if stream is not None else 1)
        os.close(nowhere)
    except (OSError, ValueError):
        pass
