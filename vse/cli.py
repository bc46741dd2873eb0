"""Command lines: parse the option groups of a script, and report mistakes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NoReturn, TypeVar

import tyro

from vse import ranges
from vse.console import READER_GONE, say
from vse.errors import InputError
from vse.exits import run_to_end
from vse.options import as_dict, on_iaprtc12, with_values

Options = TypeVar("Options")

CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
"""Flags without the prefix of their group; both `--flag` and `--no_flag` for booleans."""


def run(
    main: Callable[[Any], None],
    options_type: type[Any],
    demo: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    shown: Callable[[], Mapping[str, Any]] | None = None,
) -> NoReturn:
    """Parse the command line into `options_type`, run `main(options)` and exit as `vse.exits.run_to_end` does.

    Underscores and hyphens in option names are both accepted.

    Args:
        demo: values that replace the defaults when neither --data_path nor --data_name is given, so that the embedded
            data set trains on two CPU cores.
        defaults: values of this script that replace the defaults of `options_type`.
        shown: values that `--help` shows as defaults of options that are resolved only when the script runs.
    """
    if shown is not None and {"-h", "--help"} & set(sys.argv):
        defaults = {**shown(), **(defaults or {})}
    run_to_end(lambda: main(parse(options_type, demo, defaults)))


def run_on_iaprtc12(main: Callable[[Any], None], options_type: type[Any], defaults: Mapping[str, Any]) -> NoReturn:
    """Run an evaluation script as `run` does, with IAPR TC-12 as the data set of `--data_path`."""
    run(lambda options: main(on_iaprtc12(options)), options_type, defaults=defaults)


@contextmanager
def _one_process_speaks() -> Iterator[None]:
    """Let only the first of torchrun's processes print tyro's output; all have the same command line.

    `--help | head` may close the pipe before all is printed: then the exit status is that of `vse.console.finish`.
    """
    if int(os.environ.get("RANK", "0")) == 0:
        try:
            yield
        except BrokenPipeError:
            sys.exit(READER_GONE)
        return
    printed = io.StringIO()
    try:
        with redirect_stderr(printed), redirect_stdout(printed):
            yield
    except SystemExit as end:
        if end.code:
            raise InputError(printed.getvalue()) from None
        raise


def parse(
    options_type: type[Options],
    demo: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    arguments: list[str] | None = None,
    description: str | None = None,
    program: str | None = None,
) -> Options:
    """Parse the command line (or `arguments`) into an `options_type`; see `run`.

    Args:
        description: text that `--help` prints above the options; default: the script's docstring.
        program: name of the script whose help a message points to; default: that of this process.
    """
    description = description or sys.modules["__main__"].__doc__ or options_type.__doc__ or ""

    def command_line(values: Mapping[str, Any]) -> Options:
        default: dict[str, Any] = {"default": with_values(options_type(), values)} if values else {}
        with _one_process_speaks():
            options = tyro.cli(
                options_type,
                prog=program,
                args=arguments,
                description=description,
                use_underscores=True,
                config=CONFIG,
                **default,
            )
        ranges.check(options)
        return options

    options = command_line(defaults or {})
    given = as_dict(options)
    if demo and given["data_path"] is None and given["data_name"] is None:
        options = command_line({**(defaults or {}), **demo})
        values = ", ".join(f"{name} {value}" for name, value in as_dict(options).items() if name in demo)
        say(f"no --data_path, no --data_name: the built-in demo data set, sized for two CPU cores ({values})")
    return options
