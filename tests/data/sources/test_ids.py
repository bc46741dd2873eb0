"""Ids of rows in a file beside the features."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.data.sources.ids import ids_beside, ids_of_rows, read_id_file
from vse.errors import InputError


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".json":
        path.write_text(json.dumps(content))
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        path.write_text("".join(f"{line}\n" for line in content))
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.npy", "a.pkl"])
def test_lists_give_each_row_its_id(tmp_path: Path, name: str) -> None:
    assert read_id_file(write(tmp_path / name, [7, 3, 5]), 3) == ["7", "3", "5"]


@pytest.mark.parametrize("name", ["a.json", "a.pkl"])
def test_dictionaries_give_each_id_its_row(tmp_path: Path, name: str) -> None:
    assert read_id_file(write(tmp_path / name, {"x": 2, "z": 0, "y": 1}), 3) == ["z", "y", "x"]


def test_dictionaries_may_give_each_row_its_id(tmp_path: Path) -> None:
    assert read_id_file(write(tmp_path / "a.json", {"1": "x", "0": 31, "2": "z"}), 3) == ["31", "x", "z"]


def test_a_byte_order_mark_is_no_part_of_the_first_id(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf7\r\n3\r\n")
    assert read_id_file(tmp_path / "a.txt", 2) == ["7", "3"]


def test_numpy_numbers_in_pickles_are_read(tmp_path: Path) -> None:
    content = {np.int64(2**53 + 1): np.int32(1), "b": np.int64(0)}
    assert read_id_file(write(tmp_path / "a.pkl", content), 2) == ["b", "9007199254740993"]
    assert read_id_file(write(tmp_path / "b.pkl", np.array([4, 2])), 2) == ["4", "2"]


def test_an_id_for_each_caption_is_one_image(tmp_path: Path) -> None:
    assert read_id_file(write(tmp_path / "a.txt", [7, 7, 7, 3, 3, 5]), 3) == ["7", "3", "5"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", [1, 2], "2 ids for 3 rows"),
        (
            "a.json",
            {"x": 0, "y": 1, "z": 3},
            r"gives 3 ids 3 different rows; expected each of the rows 0 \.\.\. 2 once",
        ),
        ("a.json", {"x": 0, "y": 1, "z": 1}, "gives 3 ids 2 different rows"),
        ("a.json", "text", "holds a str; expected a list"),
        ("a.json", [1, [2, 3], 4], "ids"),
        ("a.json", [1, None, 2], "row 1: id None; expected an integer or a name"),
        ("a.npy", np.ones((3, 2)), r"ids \[3, 2\]"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, name: str, content: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_id_file(write(tmp_path / name, content), 3)


def test_pickles_that_would_run_are_refused(tmp_path: Path) -> None:
    class Explosive:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "ran"), "w")

    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": Explosive()}))
    with pytest.raises(InputError, match=r"cannot be read \(it asks for"):
        read_id_file(tmp_path / "a.pkl", 1)
    assert not (tmp_path / "ran").exists()


def test_files_go_with_features_by_their_names(tmp_path: Path) -> None:
    assert ids_beside(tmp_path / "train36.hdf5") is None
    write(tmp_path / "train36_imgid2idx.pkl", {})
    assert ids_beside(tmp_path / "train36.hdf5") == tmp_path / "train36_imgid2idx.pkl"
    write(tmp_path / "train36_ids.txt", [])
    with pytest.raises(InputError, match="say which with --ids FILE"):
        ids_beside(tmp_path / "train36.hdf5")


@pytest.mark.parametrize(
    "array", [np.array([3, 12]), np.array([[3], [12]]), np.array([3.0, 12.0]), np.array([b"3", b"12"]), ["3", "12"]]
)
def test_ids_of_every_type_become_text(array: Any) -> None:
    assert ids_of_rows(array, 2, "a.h5") == ["3", "12"]
