"""Raw numbers without a header: infer their precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vse.errors import InputError

DTYPES = {"float32": "<f4", "float16": "<f2", "float64": "<f8"}
"""Name -> what it is in a file; every extractor that we know of writes little-endian numbers."""

WIDEST = 2.5
"""Standard deviation of log10 of the absolute values. Features stay below 1; float16 or float64 bits that are read as
float32 reach 3 to 15, because mantissa bits become exponent bits."""

MAGNITUDES = (1e-8, 1e6)
"""Between these lies the median absolute value of any features."""


MARGIN = 0.3
"""A reading is much tighter than another if twice its spread and this are less than the other's."""


class _Reading(NamedTuple):
    plausible: bool
    spread: float
    finite: bool = False


def decide_dtype(payloads: list[np.ndarray], rows: list[int], expected: str, where: str) -> str:
    """Find the precision of numbers from their bytes.

    The expected precision is taken if the numbers that it gives are plausible and no other one gives much tighter
    numbers; another one only if the expected one is implausible.

    Args:
        payloads: of each image, uint8.
        rows: regions that each holds.
        expected: precision of the boxes beside them, or the form's own.

    Raises:
        InputError: none or several fit.
    """
    readings = {
        name: _read(payloads, np.dtype(code))
        for name, code in DTYPES.items()
        if all(len(some) % (count * np.dtype(code).itemsize) == 0 for some, count in zip(payloads, rows, strict=True))
    }
    usual = readings.pop(expected, _Reading(False, np.inf))
    others = sorted((one.spread, name) for name, one in readings.items() if one.plausible and one.finite)
    tighter = [name for spread, name in others if 2 * spread + MARGIN < usual.spread]
    if usual.plausible and not tighter:
        return expected
    alone = len(others) == 1 or (len(others) > 1 and 2 * others[0][0] + MARGIN < others[1][0])
    if not usual.plausible and tighter and alone:
        return tighter[0]
    names = [name for _, name in others] + [expected] * usual.plausible
    raise InputError(
        f"{where}: as {expected}, the features are {'doubtful' if names else 'no plausible numbers'}"
        + (f", and they may be {' or '.join(names)}" if names else "")
        + ("; " if names else "; expected little-endian numbers, extract the features again, or ")
        + "say their precision with --dtype_in"
    )


def _read(payloads: list[np.ndarray], dtype: np.dtype) -> _Reading:
    with np.errstate(invalid="ignore"):
        values = np.concatenate([payload.view(dtype).astype(np.float64) for payload in payloads])
    finite = bool(np.isfinite(values).all())
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(sizes):
        return _Reading(not values.any(), 0.0, finite)  # all zero is plausible, nothing finite is not
    halves: np.ndarray = values[: len(values) // 2 * 2].reshape(-1, 2) != 0
    wider_numbers = bool((halves.any(axis=0) == [False, True]).all())  # the lower halves of round numbers are zero
    spread = float(np.log10(sizes).std())
    fits = spread <= WIDEST and MAGNITUDES[0] <= np.median(sizes) <= MAGNITUDES[1]
    return _Reading(bool(fits and not wider_numbers), spread, finite)
