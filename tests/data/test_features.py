"""Feature files: memory-mapped, of any size and precision, refused with a remedy when they are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vse.data.features import Features, open_features, row_faults, rows_per_image
from vse.errors import InputError


def write(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("dtype", "given"), [(np.float16, torch.float16), (np.float32, torch.float32), (np.float64, torch.float32)]
)
@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 7)])
def test_reading_gives_rows_of_the_file(
    tmp_path: Path, dtype: type, given: torch.dtype, shape: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    path = write(tmp_path / "x_ims.npy", array)
    features = Features(path, open_features(path))
    assert isinstance(features.array, np.memmap)
    read = features.read(np.array([4, 0, 4]))
    assert read.dtype == given
    np.testing.assert_array_equal(read.float().numpy(), array[[4, 0, 4]].astype(np.float32))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3,), np.float32), "shape"),
        (np.zeros((3, 2, 2, 2), np.float32), "shape"),
        (np.zeros((3, 2), np.int64), "dtype int64"),
        (np.asfortranarray(np.zeros((3, 2, 4), np.float32)), "Fortran order"),
        (np.zeros((0, 2), np.float32), "holds no features"),
        (np.array([[1, "a"]], dtype=object), "Python objects"),
        (np.zeros((3, 2), ">f4"), "dtype float32 of the other byte order"),
        (np.zeros((3, 2), np.longdouble), "dtype (longdouble|float128)"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    path = tmp_path / "x_ims.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(InputError, match=words) as refusal:
        open_features(path)
    assert str(path) in str(refusal.value)


def test_an_archive_under_another_name_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", np.ones((3, 2), np.float32))
    (tmp_path / "x.npz").rename(tmp_path / "x_ims.npy")
    with pytest.raises(InputError, match=r"x_ims\.npy: it is a \.npz archive"):
        open_features(tmp_path / "x_ims.npy")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x_ims.npy", np.zeros((30, 20), np.float32))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="truncated"):
        open_features(path)


def test_a_row_with_nan_is_named(tmp_path: Path) -> None:
    array = np.zeros((6, 2, 3), np.float32)
    array[4, 1, 2] = np.nan
    path = write(tmp_path / "x_ims.npy", array)
    features = Features(path, open_features(path))
    features.read(np.array([0, 1, 2, 3, 5]))
    with pytest.raises(InputError, match="row 4 holds NaN"):
        features.read(np.array([3, 4]))


@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_rows_that_repeat_once_per_caption_are_one_image(tmp_path: Path, repeat: int) -> None:
    images = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32).repeat(repeat, axis=0)
    path = write(tmp_path / "x_ims.npy", images)
    assert rows_per_image(open_features(path), len(images), path) == repeat


@pytest.mark.parametrize("size", [3, 5000])
def test_equal_images_beside_each_other_do_not_hide_repetition(tmp_path: Path, size: int) -> None:
    images = np.random.default_rng(0).normal(size=(7, size)).astype(np.float32)
    images[4] = images[3]
    path = write(tmp_path / "x_ims.npy", images.repeat(5, axis=0))
    assert rows_per_image(open_features(path), 35, path) == 5


@pytest.mark.parametrize("rows", [[1, 1, 2, 3], [1, 2, 2, 3], [1, 1, 2, 2, 3], [1, 1, 1]])
def test_rows_that_repeat_unevenly_are_refused(tmp_path: Path, rows: list[int]) -> None:
    path = write(tmp_path / "x_ims.npy", np.array(rows, np.float32)[:, None])
    with pytest.raises(InputError, match=r"rows \d and \d are equal, .* write x_ids\.txt"):
        rows_per_image(open_features(path), len(rows), path)


@pytest.mark.parametrize(("ids", "repeat"), [([1, 2, 3, 4], 1), ([1, 1, 2, 2], 2)])
def test_ids_decide_which_equal_rows_are_one_image(tmp_path: Path, ids: list[int], repeat: int) -> None:
    path = write(tmp_path / "x_ims.npy", np.array([[1], [1], [2], [2]], np.float32))
    (tmp_path / "x_ids.txt").write_text("".join(f"{image}\n" for image in ids))
    assert rows_per_image(open_features(path), 4, path) == repeat


def test_captions_that_rows_do_not_divide_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x_ims.npy", np.ones((4, 1), np.float32))
    with pytest.raises(InputError, match="4 rows do not divide the 21 captions"):
        rows_per_image(open_features(path), 21, path)


def test_values_of_another_precision_are_refused_with_their_row(tmp_path: Path) -> None:
    array = np.ones((6, 2, 3), np.float32)
    array[2] = np.random.default_rng(0).normal(size=3).view(np.float32).reshape(2, 3)  # float64 read as float32
    path = write(tmp_path / "x_ims.npy", array)
    with pytest.raises(InputError, match=r"row 2 holds values up to .*; extract"):
        Features(path, open_features(path)).read(np.arange(6))


def test_dimensions_before_regions_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_features(write(tmp_path / "x_ims.npy", np.ones((2, 36, 2048), np.float32)))
    assert capsys.readouterr().err == ""
    open_features(write(tmp_path / "x_ims.npy", np.ones((2, 2048, 36), np.float32)))
    assert "2048 regions of 36 dimensions look like the reverse" in capsys.readouterr().err


def test_numbers_of_regions_are_those_of_the_images_in_use(tmp_path: Path) -> None:
    array = np.ones((6, 4, 3), np.float32) * np.arange(1, 4).repeat(2)[:, None, None]
    write(tmp_path / "x_ims_len.npy", np.array([4, 4, 2, 2, 3, 3], np.int32))
    features = Features(tmp_path / "x_ims.npy", array, repeat=2, count=2)
    assert features.lengths is not None
    assert features.lengths.tolist() == [4, 2]
    assert Features(tmp_path / "y_ims.npy", array).lengths is None


@pytest.mark.parametrize(
    "lengths", [np.array([4, 0, 2]), np.array([4, 5, 2]), np.array([4, 4]), np.ones(3), np.ones((3, 1), np.int32)]
)
def test_numbers_of_regions_that_do_not_fit_are_refused(tmp_path: Path, lengths: np.ndarray) -> None:
    write(tmp_path / "x_ims_len.npy", lengths)
    with pytest.raises(InputError, match=r"x_ims_len\.npy: does not give each of 3 images a number of regions"):
        Features(tmp_path / "x_ims.npy", np.ones((3, 4, 2), np.float32))


def test_each_kind_of_broken_row_is_told_from_the_others(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    array[1, 0, 0], array[2], array[3, 0, 1], array[4, 4, 2] = np.nan, 0, 1e9, 1
    write(tmp_path / "x_ims_len.npy", np.array([5] * 4 + [4, 5]))
    faults = row_faults(Features(tmp_path / "x_ims.npy", array), 1, array[1:])
    assert {fault: (1 + np.flatnonzero(rows)).tolist() for fault, rows in faults.items()} == {
        "not_finite": [1],
        "zero": [2],
        "large": [3],
        "padding": [4],
    }
