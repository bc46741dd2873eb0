"""Files that appear whole or not at all, and folders that can be written to."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from vse.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
"""Suffix of a file that is being written, or that a killed process left behind."""

_REMEDIES = {
    errno.ENOSPC: "free space on that disk, or write elsewhere",
    errno.EDQUOT: "free space within your quota, or write elsewhere",
    errno.EACCES: "give a file in a folder that you have permission to write to",
    errno.EPERM: "give a file in a folder that you have permission to write to",
    errno.EROFS: "give a file in a folder that you have permission to write to",
    errno.EIO: "the disk or its connection fails, write elsewhere",
    errno.EISDIR: "give the name of a file",
}


def write_atomically(path: str | Path, write: Callable[[BinaryIO], Any], previous: str | Path | None = None) -> None:
    """Let `write` fill a new file that then takes the place of `path`.

    A reader sees the old file or the whole new one, whenever the process or the machine dies. A symbolic link stays
    and the file that it names is replaced; a device or a pipe is written to.

    Args:
        path: the file to write.
        write: writes the content to the binary file that it is given.
        previous: name under which what `path` held before is kept.

    Raises:
        InputError: the file cannot be written; what was there before still is.
    """
    path = Path(path)
    try:
        if _is_special(path):
            _write_through(path, write)
            return
        target = Path(os.path.realpath(path))
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        remove_leftovers(target.parent, target.name)
        with _new_file(target) as (temporary, file):
            _fill(file, write)
            os.fsync(file.fileno())
            if previous is not None:
                _keep(target, Path(previous))
            temporary.replace(target)
        sync_folder(target.parent)
    except OSError as problem:
        raise _refusal(path, problem) from None


def check_writable(*paths: str | Path | None) -> None:
    """Refuse files that could not be written, before the work whose result they hold; None is no file.

    Raises:
        InputError: a path is a folder, or no file can be made in its folder.
    """
    for path in paths:
        if path is None:
            continue
        try:
            if not _is_special(Path(path)):
                with _new_file(Path(os.path.realpath(path))):
                    pass
        except OSError as problem:
            raise _refusal(Path(path), problem) from None


def _is_special(path: Path) -> bool:
    """Return whether a path names a device, a pipe or an open file of this process, to be written to as it is."""
    if not path.exists():
        return False
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return not path.is_file() or path.absolute().parts[1:2] in (("dev",), ("proc",))


def _write_through(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    with tempfile.TemporaryFile() as whole:  # what writes may seek, a pipe cannot
        _fill(whole, write)
        whole.seek(0)
        with path.open("ab", buffering=0) as device:
            shutil.copyfileobj(whole, device)


@contextmanager
def _new_file(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside the target, locked as long as it is written; it is removed if it is still there then."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}")
        file = temporary.open("xb")
        if _lock(file) and temporary.exists():
            break
        file.close()  # another process took it for a leftover
    try:
        with file:
            yield temporary, file
    finally:
        with suppress(OSError):
            temporary.unlink()


def _lock(file: BinaryIO) -> bool:
    """Try to lock a file; where file systems cannot lock, nothing is taken for a leftover."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed processes left half-written in a folder.

    Args:
        name: the file that they were writing; any if empty.
    """
    if fcntl is None:
        return
    with suppress(OSError):
        for leftover in list(folder.iterdir()):
            if leftover.name.startswith(f".{name}") and leftover.name.endswith(PARTIAL):
                with suppress(OSError), leftover.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    leftover.unlink()


class _Recorder(io.RawIOBase):
    """A file that remembers the first error of writing to it, because libraries tend to lose it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.problem: OSError | None = None

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        try:
            return self.file.write(content)
        except OSError as problem:
            self.problem = self.problem or problem
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def flush(self) -> None:
        self.file.flush()


def _fill(file: BinaryIO, write: Callable[[BinaryIO], Any]) -> None:
    recorder = _Recorder(file)
    try:
        write(recorder)  # type: ignore[arg-type]
    except Exception:
        if recorder.problem is None:
            raise
    if recorder.problem is not None:
        raise recorder.problem
    file.flush()


def _keep(target: Path, previous: Path) -> None:
    """Name what a file holds `previous`, before it is replaced."""
    if not target.exists():
        return
    link = previous.with_name(f".{previous.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        os.link(target, link)
    except OSError:  # a file system without hard links
        target.replace(previous)
        return
    try:
        link.replace(previous)
    finally:
        link.unlink(missing_ok=True)  # still there if both were one file already: then replacing does nothing


def _refusal(path: Path, problem: OSError) -> InputError:
    remedy = _REMEDIES.get(problem.errno or 0, "give a file in a writable folder")
    return InputError(f"{path}: cannot be written ({problem.strerror or problem}); {remedy}")


def sync_folder(folder: Path) -> None:
    """Make a renaming in `folder` last through a crash of the machine."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def writable_folder(path: str | Path, flag: str) -> Path:
    """Make a folder, prove that files can be written to it, and remove what killed processes left half-written in it.

    Raises:
        InputError: they cannot be written.
    """
    folder = Path(path)
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file")
        Path(os.path.realpath(folder)).mkdir(parents=True, exist_ok=True)  # what a link names may have been moved aside
        with _new_file(folder / "writable"):
            pass
    except OSError as problem:
        reason = problem.strerror or problem
        raise InputError(f"{flag} {folder}: cannot be written to ({reason}); expected a folder you may write") from None
    remove_leftovers(folder)
    return folder


def move_aside(path: str | Path, flag: str) -> Path:
    """Rename a folder to the first of `NAME.1`, `NAME.2`, ... that is free, and return its new name.

    Raises:
        InputError: it cannot be renamed: the working directory, a mount point, or no permission.
    """
    folder = Path(os.path.realpath(path))
    number = 1
    while (aside := folder.parent / f"{folder.name}.{number}").exists():
        number += 1
    try:
        if folder == Path.cwd() or folder.name == "":
            raise OSError(errno.EBUSY, "it is the working directory")
        folder.rename(aside)
    except OSError as problem:
        raise InputError(
            f"{flag} {path}: holds an earlier run that cannot be moved aside ({problem.strerror}); give another folder"
        ) from None
    return aside


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which need not end, is refused.

    Raises:
        OSError: as `open` does, or it is no regular file.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, os.strerror(code) if code == errno.EISDIR else "not a regular file", str(path))
    return Path(path).open("rb")


def read_bytes(path: str | Path) -> bytes:
    """Read a whole file as `open_regular` opens it."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Read a whole file of text as `open_regular` opens it; every line end becomes a newline."""
    with io.TextIOWrapper(open_regular(path), encoding, errors) as file:
        return file.read()


def sha256(path: str | Path) -> str:
    """Hash the content of a file, hexadecimal.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); give a file that you may read") from None
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """Parse a JSON file, with or without a byte order mark.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return orjson.loads(read_bytes(path).removeprefix(b"\xef\xbb\xbf"))
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a JSON file") from None
    except orjson.JSONDecodeError as problem:
        raise InputError(f"{path}, line {problem.lineno}: not JSON ({problem.msg}); use another copy of it") from None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Parse a file with a JSON object a line.

    Raises:
        InputError: it cannot be read, or a line is none.
    """
    rows: list[dict[str, Any]] = []
    try:
        for line in read_bytes(path).splitlines():
            rows.append({**orjson.loads(line)})
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a JSON object a line") from None
    except (ValueError, TypeError):
        raise InputError(
            f"{path}, line {len(rows) + 1}: no JSON object; remove the line, or use another copy of it"
        ) from None
    return rows
