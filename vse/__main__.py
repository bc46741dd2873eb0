"""`python -m vse COMMAND`: tools around the data sets and runs; `python -m vse COMMAND --help` describes one."""

from __future__ import annotations

import ast
import importlib
import sys
from difflib import get_close_matches
from pathlib import Path

from vse.errors import InputError
from vse.exits import run_to_end

COMMANDS = {
    "check": "vse.tools.check",
    "prepare": "vse.tools.prepare",
    "features": "vse.tools.features",
    "convert": "vse.tools.convert",
    "compare": "vse.tools.compare",
    "evaluate": "vse.tools.evaluate",
    "experiment": "vse.tools.experiment",
    "export": "vse.tools.export",
    "gallery": "vse.tools.gallery",
    "index": "vse.tools.index",
    "judge": "vse.tools.judge",
    "parse": "vse.tools.parse",
    "search": "vse.tools.search",
}
"""Command -> module with its `Options` and `main(options)`."""


def main() -> None:
    """Run the command that the command line names, or list the commands and exit.

    Raises:
        InputError: there is no such command.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("", "-h", "--help"):
        lines = [f"  {command:10} {summary(module)}" for command, module in COMMANDS.items()]
        print("\n".join(["usage: python -m vse COMMAND [OPTIONS]", *lines]), file=sys.stdout if name else sys.stderr)
        sys.exit(0 if name else 2)
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
        raise InputError(f"{name}: no such command; {meant}")
    from vse.cli import parse

    del sys.argv[1]
    module = importlib.import_module(COMMANDS[name])
    sys.argv[0] = f"python -m vse {name}"
    module.main(parse(module.Options, description=module.Options.__doc__))


def command_line() -> None:
    """Be the console command `vse`."""
    run_to_end(main)


def summary(module: str) -> str:
    """Return the first line of a command's options; it is read from the source, because importing takes seconds."""
    tree = ast.parse((Path(__file__).parents[1] / f"{module.replace('.', '/')}.py").read_text("utf-8"))
    (options,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Options")
    return (ast.get_docstring(options) or "").partition("\n")[0]


if __name__ == "__main__":
    command_line()
