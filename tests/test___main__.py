"""`python -m vse` lists its commands at once, describes each, and knows what a typing error meant."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from vse import __main__ as program
from vse.errors import InputError
from vse.tools.options import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "numpy", "scipy", "sklearn", "transformers", "matplotlib", "pandas", "jinja2")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        f"import sys, atexit; sys.argv = ['vse', *{command.split()}, '--help']; from vse.__main__ import main; "
        f"atexit.register(lambda: print('imported', [name for name in {HEAVY} if name in sys.modules])); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert lines[-1] == "imported []"
    assert lines[0].startswith(f"usage: python -m vse {command or 'COMMAND'}")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vse", "--help"])
    with pytest.raises(SystemExit, match="0"):
        program.main()
    listed = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [command for command, _ in listed] == list(COMMANDS)
    assert all(summary for _, summary in listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_a_module_that_runs_it(command: str) -> None:
    assert callable(importlib.import_module(f"vse.tools.{command}").main)


def test_a_mistyped_option_names_the_nearest() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vse", "gallery", "scores.npy", "--querys", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "--queries" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.endswith(("| torch", "| numpy"))]


def test_help_of_a_command_describes_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vse", "compare", "--help"])
    with pytest.raises(SystemExit):
        program.main()
    shown = capsys.readouterr().out
    assert "usage: python -m vse compare" in shown
    assert "Compare evaluations" in shown


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("chek", "chek: no such command; did you mean check?"), ("xyz", "xyz: no such command; expected one of check")],
)
def test_a_typing_error_names_the_nearest_command(typed: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vse", typed])
    with pytest.raises(InputError, match=expected.replace("?", r"\?")):
        program.main()
