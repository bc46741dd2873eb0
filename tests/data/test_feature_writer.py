"""Feature files: rows in any order, in their place only when complete, nothing stale beside them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vse.data.feature_writer import RowFile, SplitFiles, part_of, to_dtype
from vse.errors import InputError

FLOAT = np.dtype(np.float32)


def test_rows_written_in_any_order_appear_at_the_end(tmp_path: Path) -> None:
    path, values = tmp_path / "rows.npy", np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    file = RowFile(path, (2, 3), FLOAT)
    file.write(2, values[2:])
    file.write(0, values[:2])
    assert not path.exists()
    file.finish(3)
    np.testing.assert_array_equal(np.load(path), values[:3])
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_file_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    first = RowFile(path, (), FLOAT, rows=2)
    first.write(0, np.array([7], np.float32))
    first.file.close()
    second = RowFile(path, (), FLOAT, rows=2, resume=True)
    second.write(1, np.array([8], np.float32))
    assert second.read(0) == 7
    second.finish()
    assert np.load(path).tolist() == [7, 8]


def test_a_disk_without_room_is_refused_before_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000_000))
    with pytest.raises(InputError, match=r"4\.0 GB are needed, 3\.0 GB are free; make room"):
        RowFile(tmp_path / "rows.npy", (1000,), FLOAT, rows=1_000_000)
    assert not list(tmp_path.iterdir())


def test_stale_files_of_an_earlier_conversion_go(tmp_path: Path) -> None:
    stale = tmp_path / "train_ims_len.npy"
    stale.touch()
    files = SplitFiles(tmp_path, "train", (2, 3), "float16", boxes=False, sizes=True, rows=1)
    files.write(0, np.ones((1, 2, 3), np.float16), None, np.array([[640, 480]]))
    assert stale.exists()
    files.finish()
    assert {path.name for path in tmp_path.iterdir()} == {"train_ims.npy", "train_ims_size.npy"}
    assert np.load(tmp_path / "train_ims_size.npy").tolist() == [(640, 480)]


def test_discarded_files_leave_nothing_behind(tmp_path: Path) -> None:
    files = SplitFiles(tmp_path, "train", (2, 3), "float32", boxes=True, sizes=True, rows=1, lengths=True)
    assert part_of(tmp_path / "train_ims.npy").exists()
    files.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "dtype", "complaint"),
    [
        (np.ones(2, np.int64), "float32", "dtype int64; expected floating-point"),
        (np.array([1.0, np.nan]), "float32", "NaN or infinity"),
        (np.array([7e4]), "float16", "up to 70000 do not fit float16; take --dtype float32"),
        (np.array([-2e6]), "float32", "up to 2e.06, which no network gives.* --trust"),
    ],
)
def test_implausible_features_are_refused(values: np.ndarray, dtype: str, complaint: str) -> None:
    with pytest.raises(InputError, match=f"row 3: features .*{complaint}"):
        to_dtype(values, dtype, "row 3")


def test_large_features_are_kept_when_they_are_trusted() -> None:
    assert to_dtype(np.array([-2e6]), "float32", "row 3", trusted=True).tolist() == [-2e6]
