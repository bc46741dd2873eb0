"""Recognise out-of-memory errors, and describe them."""

from __future__ import annotations

import re

_ASKED = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.]+) ?(\w+)", re.IGNORECASE)
_FREE = re.compile(r"of which ([\d.]+ \w+) is free")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def is_lack_of_memory(problem: BaseException) -> bool:
    """Return whether an exception says that there is not enough memory, of the host or of a device."""
    # torch raises RuntimeErrors: a subclass for a device, a plain one for the CPU.
    names = {kind.__name__ for kind in type(problem).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(problem)


def asked_for(problem: BaseException) -> str:
    """Say how much memory was asked for and how much of the device's was free, as far as the exception tells.

    Returns:
        A clause such as `, 2.0 GiB were asked for and 1.2 GiB were free`; nothing if it tells nothing.
    """
    asked = _ASKED.search(str(problem))
    if asked is None or asked[2] not in _UNITS:
        return ""
    free = _FREE.search(str(problem))
    return f", {_readable(float(asked[1]), asked[2])} were asked for{f' and {free[1]} were free' if free else ''}"


def _readable(size: float, unit: str) -> str:
    place = _UNITS.index(unit)
    while size >= 1024 and place < len(_UNITS) - 1:
        size, place = size / 1024, place + 1
    return f"{size:.{min(place, 1)}f} {_UNITS[place]}"
