"""`python -m vse COMMAND`: tools around the data sets and runs; `python -m vse COMMAND --help` describes one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from vse.cli import parse
from vse.errors import InputError, meant
from vse.exits import run_to_end
from vse.tools.options import COMMANDS


def main() -> None:
    """Run the command that the command line names, or list the commands and exit.

    Raises:
        InputError: there is no such command.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("", "-h", "--help"):
        lines = [f"  {command:10} {summary(options)}" for command, options in COMMANDS.items()]
        usage = "usage: python -m vse COMMAND [OPTIONS]; python -m vse COMMAND --help lists a command's options"
        print("\n".join([usage, *lines]), file=sys.stdout if name else sys.stderr)
        sys.exit(0 if name else 2)
    if name not in COMMANDS:
        advice = meant(name, COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
        raise InputError(f"{name}: no such command{advice}")
    del sys.argv[1]
    sys.argv[0] = f"python -m vse {name}"
    options = parse(COMMANDS[name], description=COMMANDS[name].__doc__)
    importlib.import_module(f"vse.tools.{name}").main(options)


def summary(options: type[Any]) -> str:
    """Return the first line of a command's description."""
    return (options.__doc__ or "").partition("\n")[0]


def command_line() -> None:
    """Run the console command `vse`."""
    run_to_end(main)


if __name__ == "__main__":
    command_line()
