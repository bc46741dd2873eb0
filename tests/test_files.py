"""Files appear whole or not at all; devices, pipes and links stay what they are."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from PIL import Image

from vse import files
from vse.errors import InputError
from vse.files import (
    check_writable,
    move_aside,
    read_bytes,
    read_json_lines,
    read_text,
    remove_leftovers,
    sha256,
    writable_folder,
    write_atomically,
)

WRITERS: dict[str, Callable[[BinaryIO], Any]] = {
    "bytes": lambda file: file.write(bytes(100_000)),
    "torch": lambda file: torch.save(torch.zeros(50_000), file),
    "npy": lambda file: np.save(file, np.zeros(50_000)),
    "npz": lambda file: np.savez(file, a=np.zeros(50_000)),
    "text": lambda file: np.savetxt(file, np.zeros((500, 20))),
    "picture": lambda file: Image.effect_noise((300, 300), 50).save(file, "PNG"),
}


def content(text: str) -> Callable[[BinaryIO], Any]:
    return lambda file: file.write(text.encode())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("writer", WRITERS)
def test_every_kind_of_file_is_written_whole(tmp_path: Path, writer: str) -> None:
    write_atomically(tmp_path / "a", WRITERS[writer])
    with (tmp_path / "plain").open("wb") as file:
        WRITERS[writer](file)
    if writer != "picture":
        size = (tmp_path / "plain").stat().st_size
        assert abs((tmp_path / "a").stat().st_size - size) < 100
    assert names(tmp_path) == ["a", "plain"]


def test_the_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, content("old"))

    def fail(file: BinaryIO) -> None:
        file.write(b"new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_the_previous_file_is_kept_under_its_name(tmp_path: Path) -> None:
    path, previous = tmp_path / "a", tmp_path / "b"
    for text in ("one", "two", "three"):
        write_atomically(path, content(text), previous)
    assert (path.read_text(), previous.read_text()) == ("three", "two")
    assert path.stat().st_ino != previous.stat().st_ino
    assert names(tmp_path) == ["a", "b"]


def test_the_previous_file_is_kept_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    path, previous = tmp_path / "a", tmp_path / "b"
    for text in ("one", "two"):
        write_atomically(path, content(text), previous)
    assert (path.read_text(), previous.read_text()) == ("two", "one")


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("made")
    write_atomically(tmp_path / "link", content("new"))
    write_atomically(tmp_path / "dangling", content("new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "real").read_text() == (tmp_path / "made").read_text() == "new"


def test_a_link_to_itself_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop: cannot be written"):
        write_atomically(tmp_path / "loop", content("new"))
    assert (tmp_path / "loop").is_symlink()


def test_a_linked_folder_that_was_moved_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert move_aside(tmp_path / "link", "--logger_name") == tmp_path / "real.1"
    writable_folder(tmp_path / "link", "--logger_name")
    assert (tmp_path / "real").is_dir()
    assert (tmp_path / "link").is_symlink()


def test_the_mode_is_that_of_a_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", content("a"))
    (tmp_path / "b").write_text("b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_device_is_written_to_and_not_replaced(writer: str) -> None:
    write_atomically(os.devnull, WRITERS[writer])
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_atomically(path, lambda file: np.save(file, np.arange(100_000)))
    reader.join(10)
    assert len(read[0]) > 800_000
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_device_is_one_sentence(writer: str) -> None:
    with pytest.raises(InputError, match=r"/dev/full: cannot be written \(No space left on device\); free space"):
        write_atomically("/dev/full", WRITERS[writer])


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "free space"), (errno.EIO, "write elsewhere"), (errno.EACCES, "permission")],
)
@pytest.mark.parametrize("writer", WRITERS)
def test_an_error_within_a_library_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, code: int, words: str
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail(self: Any, piece: Any) -> int:
        self.problem = OSError(code, os.strerror(code))
        raise self.problem

    monkeypatch.setattr(files._Recorder, "write", fail)
    with pytest.raises(InputError, match=words):
        write_atomically(path, WRITERS[writer])
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Is a directory.*give the name of a file"):
        write_atomically(tmp_path, content("a"))
    with pytest.raises(InputError, match="No such file or directory"):
        write_atomically(tmp_path / "missing" / "a", content("a"))


WRITE_AND_WAIT = """
import sys, time
from vse.files import write_atomically
def write(file):
    file.write(b"half")
    print("writing", flush=True)
    time.sleep(60)
write_atomically(sys.argv[1], write)
"""


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    process = subprocess.Popen([sys.executable, "-c", WRITE_AND_WAIT, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    (being_written,) = names(tmp_path)
    writable_folder(tmp_path, "--out")
    write_atomically(path, content("whole"))
    assert names(tmp_path) == [being_written, "a"]
    process.kill()
    process.communicate()
    assert names(tmp_path) == [being_written, "a"]
    write_atomically(path, content("again"))
    assert names(tmp_path) == ["a"]


def test_only_leftovers_of_the_named_file_are_removed(tmp_path: Path) -> None:
    for name in (".a.12345678.partial", ".b.12345678.partial", ".hidden", "a.partial"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a")
    assert names(tmp_path) == [".b.12345678.partial", ".hidden", "a.partial"]
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".hidden", "a.partial"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    assert writable_folder(tmp_path / "new" / "folder", "--out").is_dir()
    assert names(tmp_path / "new" / "folder") == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"--out .*file.*: cannot be written to"):
            writable_folder(folder, "--out")


def test_a_folder_is_moved_to_the_first_free_name(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / str(number)).touch()
        assert move_aside(tmp_path / "run", "--logger_name") == tmp_path / f"run.{number + 1}"
    assert names(tmp_path) == ["run.1", "run.2", "run.3"]


def test_a_folder_that_cannot_be_moved_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"--logger_name \.: holds an earlier run that cannot be moved aside"):
        move_aside(".", "--logger_name")

    def refuse(*_: Any) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", refuse)
    (tmp_path / "mounted").mkdir()
    with pytest.raises(InputError, match="Device or resource busy"):
        move_aside(tmp_path / "mounted", "--logger_name")


@pytest.mark.parametrize("read", [read_bytes, read_text, sha256])
def test_what_need_not_end_is_not_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises((OSError, InputError), match="not a regular file"):
            read(tmp_path / name)
    with pytest.raises((OSError, InputError), match="Is a directory"):
        read(tmp_path)


def test_text_is_read_with_any_line_ends(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "text", "utf-8-sig") == "a\nb\nc\n"


def test_lines_of_json_are_objects(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('{"a": 1}\n{"b": null}\n')
    assert read_json_lines(tmp_path / "lines") == [{"a": 1}, {"b": None}]
    for wrong in ("[1]", "{", "[" * 100_000):
        (tmp_path / "lines").write_text(f'{{"a": 1}}\n{wrong}\n')
        with pytest.raises(InputError, match=r"lines, line 2: no JSON object; remove"):
            read_json_lines(tmp_path / "lines")


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    check_writable(None, tmp_path / "new", tmp_path / "there", "/dev/null")
    assert names(tmp_path) == ["there"]
    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "nowhere" / "x", "No such file"),
        ("x" * 300, "long"),
    ):
        with pytest.raises(InputError, match=f"cannot be written .*{words}"):
            check_writable(path)
