"""VSRN's objectives have the library's defaults, and two constants have a second name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from vse.errors import InputError
from vse.options import Maybe, NetworkDefaults, ObjectiveOptions
from vse.ranges import NonNegative

DEFAULTS = NetworkDefaults()


@dataclass
class LossOptions(ObjectiveOptions):
    """The objective and its constants, with the original names --a and --b of two of them."""

    a: Maybe[NonNegative] = None
    """lseh: original name of --margin; takes precedence over it."""
    b: Maybe[NonNegative] = None
    """lseh: original name of --semantic_weight; takes precedence over it."""


Options = TypeVar("Options", bound=LossOptions)


def renamed(options: Options) -> Options:
    """Return the options with `--a` and `--b` under their first names.

    Raises:
        InputError: they are given for an objective other than LSEH.
    """
    if (options.a, options.b) == (None, None):
        return options
    if options.loss != "lseh":
        raise InputError(f"--a and --b are constants of lseh and do nothing for --loss {options.loss}: leave them out")
    margin = options.margin if options.a is None else options.a
    weight = options.semantic_weight if options.b is None else options.b
    return replace(options, margin=margin, semantic_weight=weight, a=None, b=None)
