"""Every numeric option of every script with values that make no sense."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from vse import ranges
from vse.cli import parse
from vse.errors import InputError
from vse.tools.options import COMMANDS

NETWORKS = ("VSEpp_LSEH", "VSRN_LSEH", "VSEinfty_LSEH", "SGRAF_LSEH", "GSMN_LSEH", "HAL")
SCRIPTS = (
    *(f"{network}.{script}" for network in NETWORKS for script in ("train", "evaluation")),
    "HAL.compute_results",
    "VSEinfty_LSEH.small_bert",
    "VSRN_LSEH.evaluate_models",
    "SGRAF_LSEH.visualize",
    "GSMN_LSEH.visualize",
    "SVDdescriptions",
    "IAPRTC12.prepare",
    *COMMANDS,
)
VALUES = ("-1", "0", "nan", "inf", "1e30", "many", "99999999999999999999")


def options_of(script: str) -> type[Any]:
    """Return the options that a script or a command of `python -m vse` parses."""
    if script in COMMANDS:
        return COMMANDS[script]
    module = importlib.import_module(script)
    found: type[Any] = getattr(module, "Options", None) or module.EvaluationOptions
    return found


def numbers(options: type[Any]) -> Iterator[tuple[str, list[ranges.Range], int]]:
    """Yield the numeric options -> flag, its ranges, and how many values it takes."""
    for name, hint in get_type_hints(options, include_extras=True).items():
        if is_dataclass(hint):
            yield from numbers(hint)  # type: ignore[arg-type]
        elif holds_numbers(hint):
            count = sum(1 for part in get_args(hint) if holds_numbers(part)) if get_origin(hint) is tuple else 1
            inner = next((part for part in get_args(hint) if get_origin(part) is tuple), None)
            if inner is not None:
                count = sum(part is not Ellipsis for part in get_args(inner))
            yield name, ranges_in(hint), max(count, 1)


def holds_numbers(hint: Any) -> bool:
    """Return whether a type is a number, or made of numbers."""
    if hint in (int, float):
        return True
    parts = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return any(holds_numbers(part) for part in parts)


def ranges_in(hint: Any) -> list[ranges.Range]:
    """Return the ranges that a type states."""
    own = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, ranges.Range)]
    return own + [found for part in get_args(hint) for found in ranges_in(part)]


def required(script: str) -> list[str]:
    """Return values for the options that a script does not do without."""
    hints = get_type_hints(options_of(script), include_extras=True)
    arguments = []
    for entry in fields(options_of(script)):
        if entry.default is MISSING and entry.default_factory is MISSING:
            positional = tyro.conf.Positional[int].__metadata__[0] in getattr(hints[entry.name], "__metadata__", ())
            arguments += ["x"] if positional else [f"--{entry.name}", "x"]
    return arguments


def outcome(script: str, flag: str, value: str, count: int) -> str:
    """Parse a command line that holds one value -> taken, refused (with the flag's name), or what went wrong."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            parse(options_of(script), arguments=[*required(script), f"--{flag}", *[value] * count])
    except InputError as problem:
        return "refused" if f"--{flag} " in str(problem) else f"the flag is not named: {problem}"
    except SystemExit as exit_:
        named = flag.replace("_", "-") in printed.getvalue().replace("_", "-")
        return "refused" if exit_.code == 2 and named else f"exit {exit_.code}: {printed.getvalue()}"
    except BaseException as problem:
        return f"traceback: {problem!r}"
    return "taken"
