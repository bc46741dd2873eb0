"""Locks that let one process at a time write a run folder.

A lock is an operating system lock (`flock`) on the file `.lock` in the folder, so it ends with its process, however
that ends. The file names the holder. Because such locks may not reach other machines of a network file system, the
holder also touches the file every few seconds as a sign of life.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: folders are not locked there
    fcntl = None  # type: ignore[assignment]

from vse.console import say, warn
from vse.errors import InputError
from vse.files import move_aside
from vse.records import now

NAME = ".lock"

SIGN_OF_LIFE = 5.0
"""Seconds between two touches of a held lock."""

WATCHED = 30.0
"""Seconds that another machine's lock is watched before it is taken over; more than network file systems cache."""

PATIENCE = 8.0
"""Seconds to wait for a lock whose process has ended: its loader processes notice that within five."""


class RunLock:
    """A lock that this process holds on a folder; `hold` acquires it, `release` or the end of a `with` releases it."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder, self._descriptor = folder, descriptor
        self._released, self._closing = threading.Event(), threading.Lock()
        threading.Thread(target=self._live, daemon=True, name=f"lock of {folder}").start()

    def release(self) -> None:
        """Give the folder back; a second call does nothing."""
        with self._closing:
            if not self._released.is_set():
                self._released.set()
                if _is_at(self._descriptor, self.folder / NAME):
                    (self.folder / NAME).unlink(missing_ok=True)
                os.close(self._descriptor)

    def move_aside(self, flag: str) -> Path:
        """Rename the folder to the first of `NAME.1`, `NAME.2`, ... that is free, give it back, and return that name.

        Raises:
            InputError: it cannot be renamed; the message begins with `flag`.
        """
        try:
            aside = self.folder.with_name(move_aside(self.folder, flag).name)
        except InputError:
            self.release()
            raise
        self.folder = aside
        self.release()
        return aside

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _live(self) -> None:
        while not self._released.wait(SIGN_OF_LIFE):
            with self._closing, suppress(OSError):
                if not self._released.is_set():
                    os.utime(self._descriptor)


def hold(folder: str | Path) -> RunLock:
    """Lock a folder for this process, and make it if it is not there.

    Raises:
        InputError: a living process holds it (which, where, since when), or it cannot be written.
    """
    folder = Path(folder)
    path = folder / NAME
    started = time.monotonic()
    while True:
        descriptor = _open(folder)
        locked = _lock(descriptor, path)
        holder = _read(descriptor)
        if locked is False or (locked is None and holder and _lives_here(holder)):
            os.close(descriptor)
            # Somebody may just be looking (`holder_of`); loader processes outlive a killed process by a few seconds.
            patience = 0.3 if not holder or _lives_here(holder) else PATIENCE
            if time.monotonic() - started < patience:
                time.sleep(0.05)
                continue
            raise _in_use(folder, holder)
        if not _is_at(descriptor, path):  # the folder was moved, or the lock given back, before it was ours
            os.close(descriptor)
            continue
        try:
            if holder:
                _take_over(folder, holder, os.fstat(descriptor).st_mtime_ns)
            _write(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return RunLock(folder, descriptor)


def holder_of(folder: str | Path) -> dict[str, Any] | None:
    """Look who holds a folder: pid, host, since, command; None if nobody does. It changes nothing."""
    try:
        descriptor = os.open(Path(folder) / NAME, os.O_RDWR)
    except OSError:
        return None
    try:
        return _read(descriptor) if _lock(descriptor, Path(folder) / NAME, shared=True) is False else None
    finally:
        os.close(descriptor)


def describe(holder: dict[str, Any]) -> str:
    """Say who holds a lock, in words."""
    if not holder:
        return "another process that is just starting"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _open(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise InputError(
            f"{folder}: cannot be written to ({problem.strerror}); expected a folder you may write"
        ) from None


def _lock(descriptor: int, path: Path, shared: bool = False) -> bool | None:
    """Lock the open file; False: another process has it; None: there are no locks on this system."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in (errno.EAGAIN, errno.EACCES):
            return False
        warn(f"{path}: this file system has no locks ({problem.strerror}); start no second run in this folder")
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _read(descriptor: int) -> dict[str, Any]:
    try:
        content = json.loads(os.pread(descriptor, 65_536, 0))
        return content if isinstance(content, dict) and {"pid", "host", "since"} <= content.keys() else {}
    except (OSError, ValueError):
        return {}


def _write(descriptor: int) -> None:
    content = {"pid": os.getpid(), "host": socket.gethostname(), "since": now(), "command": sys.argv}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(content).encode(), 0)
    os.utime(descriptor)


def _lives_here(holder: dict[str, Any]) -> bool:
    """Whether it is a process of this machine that has not ended."""
    if holder["host"] != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _take_over(folder: Path, holder: dict[str, Any], touched: int) -> None:
    """Make sure that the process which left its name has ended: on another machine it may hold the lock unseen."""
    if holder["host"] == socket.gethostname():
        say(f"{folder}: taken over from {describe(holder)}, which ended without giving it back")
        return
    say(f"{folder}: last held by {describe(holder)}; watching for {WATCHED:.0f} s whether that still runs")
    until = time.monotonic() + WATCHED
    while time.monotonic() < until:
        time.sleep(min(1.0, WATCHED / 10))
        if _touched(folder / NAME) != touched:
            raise _in_use(folder, holder)
    warn(f"{folder}: taken over from {describe(holder)}, which gave no sign of life")


def _in_use(folder: Path, holder: dict[str, Any]) -> InputError:
    return InputError(f"{folder}: in use by {describe(holder)}; wait for it, or give another run folder")


def _touched(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)  # network file systems look at the server when a file is opened
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
