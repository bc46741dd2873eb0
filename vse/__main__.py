"""`python -m vse COMMAND`: tools around the data sets and runs; `python -m vse COMMAND --help` says more."""

from __future__ import annotations

import importlib
import sys

from vse.cli import run
from vse.errors import InputError

COMMANDS = {
    "check": "vse.tools.check",
    "features": "vse.tools.features",
    "convert": "vse.tools.convert",
    "compare": "vse.tools.compare",
    "evaluate": "vse.tools.evaluate",
    "gallery": "vse.tools.gallery",
    "judge": "vse.tools.judge",
    "parse": "vse.tools.parse",
}
"""Command -> module with its `Options` and `main(options)`."""


def command_line() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        wanted = len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help")
        lines = [f"  {name:10} {_summary(module)}" for name, module in COMMANDS.items()]
        print("\n".join(["usage: python -m vse COMMAND [OPTIONS]", *lines]), file=sys.stdout if wanted else sys.stderr)
        sys.exit(0 if wanted else 2)
    module = importlib.import_module(COMMANDS[sys.argv.pop(1)])
    run(module.main, module.Options)


def _summary(module: str) -> str:
    doc = importlib.import_module(module).Options.__doc__ or ""
    return doc.strip().splitlines()[0]


if __name__ == "__main__":
    try:
        command_line()
    except InputError as problem:
        sys.exit(f"error: {problem}")
