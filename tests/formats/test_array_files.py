"""Files that numpy wrote are read as they are; files made to do harm are refused before they do any."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vse.formats.array_files import Archive, npy_shape, read_npy

WHOLE = np.arange(12, dtype=np.float32).reshape(3, 4)


def header(text: str, version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


def stated(shape: str, dtype: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n") + bytes(48)


@pytest.mark.parametrize("mode", [None, "r", "c"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("array", [WHOLE, WHOLE.T, np.float64(3), np.empty((0, 4)), np.array(["é", "b"])])
def test_arrays_are_read_as_they_were_written(tmp_path: Path, mode, version, array) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.asarray(array), version=version)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy", mode), array)


def test_the_shape_is_read_without_the_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", WHOLE)
    with (tmp_path / "a.npy").open("rb") as file:
        file.seek(5)
        assert npy_shape(file) == (3, 4)
        assert file.tell() == 0


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no .npy file"),
    "text": (b"a dog\n" * 50, "no .npy file"),
    "archive": (b"PK\x03\x04" + bytes(100), ".npz archive"),
    "petabytes": (stated("(1000000000000000,)"), "truncated"),
    "overflow": (stated("(4294967296, 4294967296, 4294967296)"), "truncated"),
    "negative": (stated("(-3, 4)"), "impossible"),
    "of nothing": (stated("(1000000000000,)", "'|V0'"), "impossible"),
    "wide items": (stated("()", "('<f4', (1000000000,))"), "header is damaged"),
    "objects": (stated("(3,)", "'|O'"), "Python objects"),
    "hidden objects": (stated("(3,)", "[('a', '<f4'), ('b', '|O')]"), "Python objects"),
    "deep header": (header("(" * 9000), "header is damaged"),
    "long header": (header(" " * 200_000, 2), "cut off"),
    "longer than the file": (b"\x93NUMPY\x01\x00\xff\xff{", "cut off"),
    "code": (header("__import__('os').mkdir('here')"), "header is damaged"),
    "unknown version": (b"\x93NUMPY\x09\x00" + bytes(100), "version|cut off|header"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("mode", [None, "r"])
def test_a_hostile_file_is_refused(tmp_path: Path, case: str, mode) -> None:
    content, words = BAD[case]
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_npy(tmp_path / "a.npy", mode)
    assert not Path("here").exists()


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    for read in (read_npy, Archive):
        with pytest.raises(OSError, match="not a regular file"):
            read(tmp_path / "pipe.npy")
        with pytest.raises(OSError, match="No such file"):
            read(tmp_path / "missing.npy")


def test_an_archive_gives_its_arrays(tmp_path: Path) -> None:
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", whole=WHOLE, one=np.array(1))
        with Archive(tmp_path / "a.npz") as archive:
            assert list(archive) == ["whole", "one"]
            assert archive.shape("whole") == (3, 4)
            np.testing.assert_array_equal(archive["whole"], WHOLE)
            assert "two" not in archive
    np.testing.assert_array_equal(Archive(io.BytesIO((tmp_path / "a.npz").read_bytes()))["whole"], WHOLE)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def bomb() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(stated("(1000000000,)")[:-48])
        for _ in range(200):
            member.write(bytes(2**20))
    return target.getvalue()


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (bomb, "unpacks to 0.2 GB"),
    "no archive": (lambda: b"a dog\n" * 50, "no whole archive"),
    "cut off": (lambda: packed({"a.npy": stated("(3, 4)")})[:-30], "no whole archive"),
    "member that states more": (lambda: packed({"a.npy": stated("(1000000000,)")}), "truncated"),
    "objects": (lambda: packed({"a.npy": stated("(3,)", "'|O'") + pickle.dumps([1])}), "Python objects"),
    "pickle": (lambda: packed({"a.npy": pickle.dumps([1])}), "no .npy file"),
    "flipped": (lambda: flipped(packed({"a.npy": stated("(3, 4)")[:-48] + os.urandom(48)})), "damaged|parse|eader|Bad"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_hostile_archive_is_refused(tmp_path: Path, case: str) -> None:
    make, words = ARCHIVES[case]
    (tmp_path / "a.npz").write_bytes(make())
    with pytest.raises(ValueError, match=words):
        Archive(tmp_path / "a.npz")["a"]
