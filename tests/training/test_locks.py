"""Run folders that one process writes at a time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vse.errors import InputError
from vse.training import locks

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="needs flock")

HOLDER = """
import sys, time
from vse.training import locks
lock = locks.hold(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def holder(tmp_path: Path):
    process = start(HOLDER, tmp_path / "run")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_in_one_sentence(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(InputError) as refused:
        locks.hold(tmp_path / "run")
    sentence = str(refused.value)
    assert re.search(rf"in use by process {holder.pid} on \S+ since \d{{4}}-\d\d-\d\dT[\d:]+\+00:00;", sentence)
    assert "\n" not in sentence
    assert (locks.holder_of(tmp_path / "run") or {})["pid"] == holder.pid


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, holder: subprocess.Popen[str], capsys) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locks.hold(tmp_path / "run"):
        assert (locks.holder_of(tmp_path / "run") or {})["pid"] == os.getpid()
    assert f"taken over from process {holder.pid}" in capsys.readouterr().out


def test_a_released_folder_keeps_no_trace(tmp_path: Path) -> None:
    with locks.hold(tmp_path / "run"):
        pass
    assert locks.holder_of(tmp_path / "run") is None
    assert not list((tmp_path / "run").iterdir())


def test_the_same_process_does_not_hold_a_folder_twice(tmp_path: Path) -> None:
    with locks.hold(tmp_path), pytest.raises(InputError, match="in use by process"):
        locks.hold(tmp_path)
    locks.hold(tmp_path).release()


def test_a_folder_moved_aside_frees_its_old_name(tmp_path: Path) -> None:
    lock = locks.hold(tmp_path / "run")
    (tmp_path / "run" / "model").touch()
    assert lock.move_aside("--logger_name") == tmp_path / "run.1"
    assert [path.name for path in (tmp_path / "run.1").iterdir()] == ["model"]
    with locks.hold(tmp_path / "run"):
        assert locks.holder_of(tmp_path / "run") is not None
        assert locks.holder_of(tmp_path / "run.1") is None


def foreign(folder: Path) -> Path:
    folder.mkdir()
    path = folder / locks.NAME
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "2026-01-01T00:00:00+00:00"}))
    return path


def test_a_silent_lock_of_another_machine_is_taken_over(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(locks, "WATCHED", 0.2)
    foreign(tmp_path / "run")
    locks.hold(tmp_path / "run").release()
    assert "gave no sign of life" in capsys.readouterr().err


def test_a_living_lock_of_another_machine_is_respected(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(locks, "WATCHED", 5.0)
    path = foreign(tmp_path / "run")
    touch = threading.Timer(0.1, lambda: os.utime(path))
    touch.start()
    with pytest.raises(InputError, match="process 1 on elsewhere since 2026"):
        locks.hold(tmp_path / "run")
    touch.join()
    assert "elsewhere" in path.read_text()


def test_a_held_lock_gives_signs_of_life(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(locks, "SIGN_OF_LIFE", 0.02)
    with locks.hold(tmp_path):
        before = (tmp_path / locks.NAME).stat().st_mtime_ns
        end = time.monotonic() + 5
        while (tmp_path / locks.NAME).stat().st_mtime_ns == before and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / locks.NAME).stat().st_mtime_ns > before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.run: cannot be written to"):
        locks.hold(tmp_path / "file" / "run")


def test_a_folder_moved_while_it_is_locked_is_locked_anew(tmp_path: Path, monkeypatch) -> None:
    opened = locks._open

    def moved_meanwhile(folder: Path) -> int:
        descriptor = opened(folder)
        if not (tmp_path / "run.1").exists():
            folder.rename(tmp_path / "run.1")
        return descriptor

    monkeypatch.setattr(locks, "_open", moved_meanwhile)
    with locks.hold(tmp_path / "run"):
        assert locks.holder_of(tmp_path / "run") is not None


def test_forty_races_make_no_mixture(tmp_path: Path) -> None:
    # Forked from one process that has everything imported, so that they truly run at once.
    driver = f"""
import os, sys, time
from pathlib import Path
from vse.errors import InputError
from vse.training import locks
locks.PATIENCE = 0.1
folder = Path({str(tmp_path / "run")!r})
go = time.monotonic() + 0.3
children = []
for number in range(40):
    pid = os.fork()
    if pid == 0:
        time.sleep(max(0.0, go - time.monotonic()))
        status = 1
        try:
            lock = locks.hold(folder)
            try:
                os.close(os.open(folder / "mine", os.O_CREAT | os.O_EXCL))
                time.sleep(0.02)
                (folder / "mine").unlink()
                status = 0
            finally:
                # every other one moves the folder aside, as an earlier run is
                lock.move_aside("run") if number % 2 else lock.release()
        except InputError:
            status = 3
        except FileExistsError:
            status = 4
        finally:
            os._exit(status)
    children.append(pid)
print(*[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""
    done = subprocess.run([sys.executable, "-c", driver], capture_output=True, text=True, check=True)
    statuses = [int(status) for status in done.stdout.split("\n")[-2].split()]
    assert len(statuses) == 40
    assert set(statuses) <= {0, 3}, done.stderr
    assert statuses.count(0) >= 1
