"""Scripts end with one sentence and an exit status, whatever stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vse.exits import Stopped, _Stop

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

SCRIPT = """
import sys, threading, time, atexit
from vse.errors import InputError
from vse.exits import run_to_end
def mistake():
    raise InputError("file.txt: wrong")
def disk():
    open("nowhere/at/all")
def quote():
    raise InputError("a" * 10**6 + "; shorten it")
def bug():
    1 / 0
def memory():
    import torch
    torch.empty(10**15)
def deterministic():
    raise RuntimeError("some_cuda does not have a deterministic implementation, but you set ...")
def thread():
    ended = threading.Thread(target=bug)
    ended.start()
    ended.join()
def nothing():
    pass
def wait():
    print("waiting", flush=True)
    time.sleep(30)
def wait_and_swallow():
    try:
        wait()
    except BaseException:
        pass
def wait_at_exit():
    atexit.register(wait)
def leave():
    sys.exit(7)
run_to_end(globals()[sys.argv[1]])
"""


def start(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "status", "errors"),
    [
        ("nothing", 0, ""),
        ("mistake", 2, "error: file.txt: wrong\n"),
        ("leave", 7, ""),
        (
            "thread",
            0,
            "warning: a thread has ended (ZeroDivisionError: division by zero); what it did stays undone\n",
        ),
        (
            "disk",
            2,
            "error: nowhere/at/all: No such file or directory; check this path, its permissions and its disk\n",
        ),
        (
            "deterministic",
            2,
            "error: --deterministic: torch's some_cuda has no such kernel; leave the flag out\n",
        ),
        (
            "memory",
            2,
            "error: there is not enough memory, 3.6 PiB were asked for; "
            "choose a smaller --batch_size or a smaller network\n",
        ),
    ],
)
def test_an_end_has_its_status_and_sentence(name: str, status: int, errors: str) -> None:
    process = start(name)
    assert process.communicate(timeout=60)[1] == errors
    assert process.returncode == status


def test_a_sentence_that_quotes_a_whole_file_is_cut() -> None:
    errors = start("quote").communicate(timeout=60)[1]
    assert len(errors) < 4000
    assert errors.endswith("a; shorten it\n")


def test_a_bug_shows_its_traceback() -> None:
    process = start("bug")
    assert "ZeroDivisionError" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["wait", "wait_and_swallow", "wait_at_exit"])
def test_a_signal_is_one_sentence_and_its_status(name: str, number: signal.Signals) -> None:
    process = start(name)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert process.communicate(timeout=60)[1] == f"stopped by {number.name}\n"
    assert process.returncode == 128 + number


def test_a_second_signal_says_what_the_first_had_no_time_to(monkeypatch, capfd) -> None:
    def end(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)
    stop = _Stop()
    with pytest.raises(Stopped):
        stop(signal.SIGTERM, None)
    with pytest.raises(SystemExit, match="143"):
        stop(signal.SIGTERM, None)
    assert capfd.readouterr().err == "stopped by SIGTERM\n"
    stop.told = True
    with pytest.raises(SystemExit, match="143"):
        stop(signal.SIGTERM, None)
    assert capfd.readouterr().err == ""
