"""A terminal that cannot take what is printed never ends a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vse.console import printable

ROOT = Path(__file__).resolve().parent.parent

PRINTING = """
import sys
from pathlib import Path
from vse.console import say
from vse.exits import run_to_end
def work():
    for line in range(20_000):
        say(f"line {line} \\u00b1")
    Path(sys.argv[1]).touch()
run_to_end(work)
"""


def print_lines(done: Path, stdout: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRINTING, str(done)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=stdout,  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told_at_the_end(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        finished = print_lines(tmp_path / "done", full)
    assert (tmp_path / "done").exists()
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        "error: standard output could not be written (No space left on device); what was printed is incomplete"
    ]


def test_a_reader_that_leaves_does_not_end_the_run(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    finished = print_lines(tmp_path / "done", writing)
    os.close(writing)
    assert (tmp_path / "done").exists()
    assert (finished.returncode, finished.stderr) == (141, "")


def test_names_cannot_command_the_terminal() -> None:
    assert printable("Köln 狗.jpg") == "Köln 狗.jpg"
    assert printable("a\nb\x1b[31m\u202e") == r"a\nb\x1b[31m\u202e"


def test_an_ascii_terminal_shows_question_marks(tmp_path: Path) -> None:
    finished = print_lines(tmp_path / "done", subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert finished.returncode == 0
    assert finished.stdout.splitlines()[-1] == "line 19999 ?"


def test_without_stdout_the_run_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PRINTING, str(tmp_path / "done")]
    closing = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", closing, *command], env=environment, timeout=60).returncode == 0
    assert (tmp_path / "done").exists()
