"""Pickles of plain values are read; what would run is refused before it does."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.formats.pickles import Refused
from vse.published.pickles import read_plain_pickle


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_containers_of_text_and_numbers_are_read(tmp_path: Path, protocol: int) -> None:
    content = {"a": [1, 2.5, None, True], "b": ("x", ()), "c": "ü"}
    assert read_plain_pickle(write(tmp_path / "a.pkl", content, protocol)) == content


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_numpy_numbers_keep_their_value(tmp_path: Path, protocol: int) -> None:
    content = {"a": np.int64(2**60 + 1), "b": np.float32(0.5), "c": np.array([[3, 4]], ">i2")}
    read = read_plain_pickle(write(tmp_path / "a.pkl", content, protocol))
    assert (read["a"], read["b"], read["c"].content) == (2**60 + 1, 0.5, [3, 4])


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"(dp1\nI9\nI0\nsS'12'\np2\nI1\ns.")
    assert read_plain_pickle(tmp_path / "a.pkl") == {"9": 0, "12": 1}


@pytest.mark.parametrize("content", [os.system, Path("/"), pickle.Unpickler])
def test_other_names_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(Refused, match="it asks for"):
        read_plain_pickle(write(tmp_path / "a.pkl", content))


@pytest.mark.parametrize("content", [b"", b"\x80\x02]", b"nothing of the kind"])
def test_damaged_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(Refused):
        read_plain_pickle(tmp_path / "a.pkl")
