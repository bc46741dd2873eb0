"""`python -m vse` lists its commands at once, describes each, and knows what a typing error meant."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from vse import __main__ as program
from vse.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "numpy", "tyro", "tabulate", "jinja2")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, atexit; sys.argv = ['vse', '--help']; from vse.__main__ import main; "
        f"atexit.register(lambda: print('imported', [name for name in {HEAVY} if name in sys.modules])); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert lines[-1] == "imported []"
    assert [line.split()[0] for line in lines[1:-1]] == list(program.COMMANDS)


@pytest.mark.parametrize("command", program.COMMANDS)
def test_a_command_has_a_summary(command: str) -> None:
    module = importlib.import_module(program.COMMANDS[command])
    assert program.summary(program.COMMANDS[command]) == module.Options.__doc__.splitlines()[0]


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
