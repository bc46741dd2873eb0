"""Command lines: option groups shared by every script, parsing, and how a user's mistake ends."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """One line for the user, from the first process only."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(line, flush=True)


def warn(line: str) -> None:
    """One line of warning on stderr, from the first process only."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"warning: {line}", file=sys.stderr, flush=True)
