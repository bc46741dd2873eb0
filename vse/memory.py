"""Memory of the host: keep it between steps, and recognise and describe a lack of it."""

from __future__ import annotations

import ctypes
import re
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 2**27
"""Bytes of the largest piece of memory that is kept. The C library's bookkeeping may cost a few pieces of each size."""

_ASKED = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.]+) ?(\w+)", re.IGNORECASE)
_FREE = re.compile(r"of which ([\d.]+ \w+) is free")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def keep_freed(device_type: str) -> None:
    """Keep freed memory for the next tensors, if the work is done by a CPU and the system has the GNU C library.

    By default the memory of a large tensor goes back to the system, which then clears every page of the next one: up to
    a fifth of a training step. The process now holds its peak until it ends, except for pieces of more than 128 MB.
    """
    if device_type == "cpu" and sys.platform == "linux":
        library = ctypes.CDLL(None)
        # There is none in musl. A library that refuses pieces of this size goes on by its own rules, which adapt.
        if hasattr(library, "mallopt") and library.mallopt(_MMAP_THRESHOLD, _KEPT):
            library.mallopt(_TRIM_THRESHOLD, -1)


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
