"""Ranges of numeric options, stated once, in their types: `--help` shows them and `check` refuses other values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tyro.constructors import PrimitiveConstructorSpec

from vse.errors import InputError

LARGEST = 2**31 - 1
"""The largest whole number that an option takes."""

MOST_WORKERS = 1024
"""The most loader processes; a number mistyped by some digits would bring the machine down."""


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, and never NaN or infinity."""

    expected: str
    """As an error states it."""
    least: float = -math.inf
    most: float = math.inf
    least_excluded: bool = False
    most_excluded: bool = False

    def __contains__(self, number: float) -> bool:
        """Return whether a number lies in the range."""
        above = number > self.least if self.least_excluded else number >= self.least
        below = number < self.most if self.most_excluded else number <= self.most
        return above and below and math.isfinite(number)


def _shown(kind: Callable[[str], float], metavar: str) -> PrimitiveConstructorSpec[Any]:
    """Describe a number to the parser; text that is no number is kept for `check` to refuse."""

    def read(texts: list[str]) -> float | str:
        try:
            return kind(texts[0])
        except ValueError:
            return texts[0]

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


AtLeast0 = Annotated[int, Range("a whole number, at least 0", 0, LARGEST), _shown(int, "INT>=0")]
Layers = Annotated[int, Range("a whole number, at least 1", 1, 100), _shown(int, "INT>=1")]
AtLeast1 = Annotated[int, Range("a whole number, at least 1", 1, LARGEST), _shown(int, "INT>=1")]
Pixels = Annotated[int, Range("a whole number from 1 to 4096", 1, 4096), _shown(int, "1..4096")]
Workers = Annotated[int, Range("a whole number, at least 0", 0, MOST_WORKERS), _shown(int, "INT>=0")]
Positive = Annotated[float, Range("a number above 0", 0, least_excluded=True), _shown(float, "FLOAT>0")]
Gibibytes = Annotated[
    float, Range("a number above 0, at most 1000000", 0, 1e6, least_excluded=True), _shown(float, "0<GiB<=1e6")
]
NonNegative = Annotated[float, Range("a number, at least 0", 0), _shown(float, "FLOAT>=0")]
Finite = Annotated[float, Range("a finite number"), _shown(float, "FLOAT")]
Cosine = Annotated[float, Range("a number from -1 to 1", -1, 1), _shown(float, "-1..1")]
Share = Annotated[float, Range("a number from 0 to 1", 0, 1), _shown(float, "0..1")]
PositiveShare = Annotated[
    float, Range("a number above 0, at most 1", 0, 1, least_excluded=True), _shown(float, "0<FLOAT<=1")
]
Probability = Annotated[
    float, Range("a number from 0 to below 1", 0, 1, most_excluded=True), _shown(float, "0<=FLOAT<1")
]


def check(options: Any, source: str = "") -> None:
    """Refuse options, in groups or not, whose values are not what their types state.

    Args:
        options: a dataclass of options, or of groups of options.
        source: what the values come from, if not from the command line.

    Raises:
        InputError: it names the option, its value and what is expected.
    """
    hints = get_type_hints(type(options), include_extras=True)
    for entry in fields(options):
        value = getattr(options, entry.name)
        if is_dataclass(value):
            check(value, source)
            continue
        expected = _expected(hints[entry.name], value)
        empty = "" in value if isinstance(value, tuple) else value == "" != entry.default
        if empty and not source:
            expected = "a value; it is empty, perhaps a variable of the shell that is not set"
        if expected is not None:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise InputError(f"{source and f'{source}: '}--{entry.name} {shown}: expected {expected}")


def _expected(hint: Any, value: Any) -> str | None:
    """Return what a type wants in place of a value, or None if it is content."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        ranges = [piece for piece in arguments[1:] if isinstance(piece, Range)]
        return _out_of_range(ranges[0], arguments[0], value) if ranges else _expected(arguments[0], value)
    if kind in (Union, UnionType):
        wishes = [_expected(argument, value) for argument in arguments]
        return None if None in wishes else ", or ".join(wish for wish in wishes if wish and wish != "nothing")
    if kind is Literal:
        return None if value in arguments else f"one of {', '.join(map(str, arguments))}"
    if kind is tuple:
        return _expected_of_tuple(arguments, value)
    if isinstance(hint, type) and not isinstance(value, (int, float) if hint is float else hint):
        return "nothing" if hint is type(None) else f"a value of type {hint.__name__}"
    return None


def _out_of_range(limits: Range, kind: type, value: Any) -> str | None:
    number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    if number and value in limits:
        return None
    too_large = kind is int and number and value > limits.most
    return f"{limits.expected} and at most {limits.most}" if too_large else limits.expected


def _expected_of_tuple(arguments: tuple[Any, ...], value: Any) -> str | None:
    if not isinstance(value, (tuple, list)):
        return "several values"
    hints = arguments[:1] * len(value) if arguments[1:] == (Ellipsis,) else arguments
    if len(hints) != len(value):
        return f"{len(hints)} values"
    return next(filter(None, map(_expected, hints, value)), None)
