"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from vse.errors import InputError


def write_atomically(path: str | Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let `write` fill a new file that then takes the place of `path`: a reader sees the old file or the whole new one,
    whenever the process or the machine dies.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as problem:
        raise InputError(f"{path}: cannot be written ({problem.strerror}); give a file in a writable folder") from None
    finally:
        if temporary.exists():
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Make a renaming in `folder` last through a crash of the machine."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def writable_folder(path: str | Path, flag: str) -> Path:
    """Make a folder and prove that files can be written to it.

    Raises:
        InputError: they cannot.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        reason = problem.strerror or problem
        raise InputError(f"{flag} {folder}: cannot be written to ({reason}); expected a folder you may write") from None
    return folder
