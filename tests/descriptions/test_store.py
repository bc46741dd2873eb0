"""Description vectors: kept, read, and which ones are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from vse.descriptions import store as descriptions
from vse.descriptions.store import ARRAY, RECORD, TEXT, load, save
from vse.descriptions.vectors import Descriptions
from vse.errors import InputError

ROWS, COMPONENTS = 12, 5
WORDS = ["dog", "cat", "boat", "house", "tree", "river", "field", "beach", "running", "jumped", "swimming", "holding"]


def write_captions(folder: Path, seed: int = 0, rows: int = ROWS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    words = np.random.default_rng(seed).choice(WORDS, size=(rows, 6))
    path = folder / "train_caps.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in words), encoding="utf-8")
    return path


@pytest.fixture
def captions_file(tmp_path: Path) -> Path:
    return write_captions(tmp_path / "set")


@pytest.fixture
def made(captions_file: Path) -> np.ndarray:
    """Random vectors, saved beside the captions."""
    vectors = np.random.default_rng(1).normal(size=(ROWS, COMPONENTS)).astype(np.float32)
    save(Descriptions(vectors, np.ones(COMPONENTS), "exact"), captions_file.parent, captions_file)
    return vectors


def edit(path: Path, line: int, text: str | None) -> None:
    """Replace a line (from 1), or drop it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def is_mapped(array: np.ndarray) -> bool:
    base: object = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def test_what_was_saved_is_mapped(captions_file: Path, made: np.ndarray) -> None:
    vectors = load(captions_file.parent, captions_file, ROWS)
    assert is_mapped(vectors)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, made)
    np.testing.assert_array_equal(load(captions_file.parent / TEXT, captions_file, ROWS), made)


def test_the_record_says_what_the_vectors_are_made_of(captions_file: Path, made: np.ndarray) -> None:
    record = json.loads((captions_file.parent / RECORD).read_text(encoding="utf-8"))
    assert record["rows"] == ROWS
    assert record["components"] == COMPONENTS
    assert record["solver"] == "exact"
    assert len(record["captions_sha256"]) == 64
    assert len(record["singular_values"]) == COMPONENTS


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_text_alone_is_parsed_once(
    captions_file: Path, made: np.ndarray, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = captions_file.parent
    (folder / ARRAY).unlink()
    (folder / RECORD).unlink()
    text = (folder / TEXT).read_bytes().replace(b"\n", ending.encode())
    (folder / TEXT).write_bytes(text.removesuffix(ending.encode()))
    np.testing.assert_array_equal(load(folder, captions_file, ROWS), made)
    monkeypatch.setattr(descriptions, "_parse_text", None)
    again = load(folder, captions_file, ROWS)
    np.testing.assert_array_equal(again, made)
    assert is_mapped(again)


def test_a_text_in_blocks_is_parsed_whole(
    captions_file: Path, made: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "_PARSED_ROWS", 5)
    monkeypatch.setattr(descriptions, "_WRITTEN_ROWS", 5)
    folder = captions_file.parent
    save(Descriptions(made, np.ones(COMPONENTS), "exact"), folder, captions_file)
    (folder / ARRAY).unlink()
    np.testing.assert_array_equal(load(folder, captions_file, ROWS), made)


def test_a_folder_that_cannot_be_written_to_keeps_no_cache(
    captions_file: Path, made: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = captions_file.parent
    (folder / ARRAY).unlink()
    (folder / RECORD).unlink()
    monkeypatch.setattr(descriptions, "write_atomically", refuse_to_write)
    np.testing.assert_array_equal(load(folder, captions_file, ROWS), made)
    assert not (folder / ARRAY).exists()


def refuse_to_write(path: Path, write: object) -> None:
    raise InputError(f"{path}: cannot be written")


def test_an_edited_text_wins_over_the_array(captions_file: Path, made: np.ndarray) -> None:
    folder = captions_file.parent
    edit(folder / TEXT, 3, "1,2,3,4,5")
    for _ in range(2):  # parsed, then from the renewed cache
        np.testing.assert_array_equal(load(folder, captions_file, ROWS)[2], [1, 2, 3, 4, 5])


def test_a_text_wins_over_an_array_of_unknown_origin(captions_file: Path, made: np.ndarray) -> None:
    folder = captions_file.parent
    (folder / RECORD).unlink()
    np.save(folder / ARRAY, np.zeros((ROWS, COMPONENTS), np.float32))
    np.testing.assert_array_equal(load(folder, captions_file, ROWS), made)


def test_a_copied_text_still_belongs_to_its_array(
    captions_file: Path, made: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = captions_file.parent
    os.utime(folder / TEXT, (1, 1))
    monkeypatch.setattr(descriptions, "_parse_text", None)
    np.testing.assert_array_equal(load(folder, captions_file, ROWS), made)
    hashed: list[Path] = []
    monkeypatch.setattr(
        descriptions, "sha256", lambda path, sha256=descriptions.sha256: hashed.append(path) or sha256(path)
    )
    load(folder, captions_file, ROWS)
    assert hashed == [captions_file]  # the new time stamp was noted


def test_an_array_alone_is_enough(captions_file: Path, made: np.ndarray) -> None:
    folder = captions_file.parent
    (folder / TEXT).unlink()
    np.testing.assert_array_equal(load(folder, captions_file, ROWS), made)
    (folder / RECORD).unlink()
    np.save(folder / ARRAY, made.astype(np.float64))
    vectors = load(folder, captions_file, ROWS)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, made)


def test_saving_that_is_interrupted_leaves_a_readable_state(
    captions_file: Path, made: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = captions_file.parent
    new = Descriptions(-made, np.ones(COMPONENTS), "exact")
    write = descriptions.write_atomically
    for written in (1, 2):  # the text, the text and the array
        calls = iter([write] * written)
        monkeypatch.setattr(descriptions, "write_atomically", lambda *of, calls=calls: next(calls)(*of))
        with pytest.raises(StopIteration):
            save(new, folder, captions_file)
        monkeypatch.setattr(descriptions, "write_atomically", write)
        np.testing.assert_array_equal(load(folder, captions_file, ROWS), -made)
        save(Descriptions(made, np.ones(COMPONENTS), "exact"), folder, captions_file)


@pytest.mark.parametrize("kept", [TEXT, ARRAY])
def test_rows_of_noise_become_zero(captions_file: Path, kept: str) -> None:
    folder = captions_file.parent
    vectors = np.ones((ROWS, COMPONENTS), np.float32)
    vectors[4] = 1e-7
    np.savetxt(folder / TEXT, vectors, fmt="%s", delimiter=",")
    np.save(folder / ARRAY, vectors)
    (folder / ({TEXT, ARRAY} - {kept}).pop()).unlink()
    read = load(folder, captions_file, ROWS)
    np.testing.assert_array_equal(read[4], 0)
    np.testing.assert_array_equal(np.delete(read, 4, axis=0), 1)


# Refusing


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (3, None, r"train_svd.txt: 11 rows for 12 captions"),
        (3, "1,2,3,4,5\n1,2,3,4,5", r"train_svd.txt: 13 rows for 12 captions"),
        (3, "1,2,3,4", r"train_svd.txt, line 3: 4 columns, line 1 has 5"),
        (1, "1,2,3,4", r"train_svd.txt, line 2: 5 columns, line 1 has 4"),
        (12, "1,2,3,4,5,6", r"train_svd.txt, line 12: 6 columns, line 1 has 5"),
        (3, "", r"train_svd.txt, line 3: 1 columns, line 1 has 5"),
        (3, "1,nan,3,4,5", r"train_svd.txt, line 3: column 2 is 'nan', expected a finite number"),
        (3, "1,2,3,4,-inf", r"train_svd.txt, line 3: column 5 is '-inf', expected a finite number"),
        (3, "1,2,,4,5", r"train_svd.txt, line 3: column 3 is '', expected a finite number"),
        (3, "1,2,dog,4,5", r"train_svd.txt, line 3: column 3 is 'dog', expected a finite number"),
        (3, '1,2,"3,4,5', r"train_svd.txt, line 3: column 3 is '\"3', expected a finite number"),
        (3, "1,2,é,4,5", r"train_svd.txt, line 3: column 3"),
    ],
)
def test_a_damaged_text_is_refused_with_its_line(
    captions_file: Path, made: np.ndarray, line: int, text: str | None, message: str
) -> None:
    edit(captions_file.parent / TEXT, line, text)
    with pytest.raises(InputError, match=message):
        load(captions_file.parent, captions_file, ROWS)


@pytest.mark.parametrize("content", [b"", b"\n" * ROWS, b"dog\n" * ROWS, b"\x00\n" * ROWS])
def test_a_text_of_something_else_is_refused(captions_file: Path, content: bytes) -> None:
    (captions_file.parent / TEXT).write_bytes(content)
    with pytest.raises(InputError, match=r"train_svd\.txt"):
        load(captions_file.parent, captions_file, ROWS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((ROWS - 1, COMPONENTS), np.float32), "11 rows for 12 captions"),
        (np.ones((ROWS, COMPONENTS + 1), np.float32), r"6 components, train_svd\.json says 5"),
        (np.ones(ROWS, np.float32), r"shape \(12,\)"),
        (np.ones((ROWS, COMPONENTS), np.int64), "int64"),
        (np.full((ROWS, COMPONENTS), np.nan, np.float32), "row 0: NaN"),
        (np.array([["a"] * COMPONENTS] * ROWS, dtype=object), r"not a \.npy file of numbers"),
    ],
)
def test_a_damaged_array_is_refused(captions_file: Path, made: np.ndarray, array: np.ndarray, message: str) -> None:
    np.save(captions_file.parent / ARRAY, array, allow_pickle=True)
    with pytest.raises(InputError, match=rf"train_svd\.npy.*{message}"):
        load(captions_file.parent, captions_file, ROWS)


def test_a_truncated_array_is_refused(captions_file: Path, made: np.ndarray) -> None:
    path = captions_file.parent / ARRAY
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="truncated"):
        load(captions_file.parent, captions_file, ROWS)


def test_a_damaged_record_is_refused(captions_file: Path, made: np.ndarray) -> None:
    (captions_file.parent / RECORD).write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"train_svd\.json"):
        load(captions_file.parent, captions_file, ROWS)


def test_vectors_of_other_captions_are_refused(captions_file: Path, made: np.ndarray) -> None:
    edit(captions_file, 5, "a dog")
    with pytest.raises(InputError, match=r"other captions than .*train_caps\.txt"):
        load(captions_file.parent, captions_file, ROWS)


def test_missing_vectors_name_the_command_that_makes_them(captions_file: Path) -> None:
    with pytest.raises(InputError, match=r"SVDdescriptions\.py --data_path .*train_caps\.txt"):
        load(captions_file.parent, captions_file, ROWS)


def test_vectors_are_read_without_writing_on_demand(captions_file: Path, made: np.ndarray) -> None:
    folder = captions_file.parent
    for name in (ARRAY, RECORD):
        (folder / name).unlink()
    np.testing.assert_array_equal(load(folder, captions_file, ROWS, keep=False), made)
    assert {path.name for path in folder.iterdir()} == {"train_caps.txt", TEXT}
