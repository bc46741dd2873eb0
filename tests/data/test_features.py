"""Feature files: memory-mapped, of any size and precision, refused with a remedy when they are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vse.data.datasets import canonical_name, find_data_set, open_dev, open_split
from vse.data.features import Features, open_features, rows_per_image
from vse.errors import InputError


def write(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 7)])
def test_reading_gives_float32_rows_of_the_file(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    path = write(tmp_path / "x_ims.npy", array)
    features = Features(path, open_features(path))
    assert isinstance(features.array, np.memmap)
    read = features.read(np.array([4, 0, 4]))
    assert read.dtype == torch.float32
    np.testing.assert_array_equal(read.numpy(), array[[4, 0, 4]].astype(np.float32))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3,), np.float32), "shape"),
        (np.zeros((3, 2, 2, 2), np.float32), "shape"),
        (np.zeros((3, 2), np.int64), "dtype int64"),
        (np.asfortranarray(np.zeros((3, 2, 4), np.float32)), "Fortran order"),
        (np.zeros((0, 2), np.float32), "holds no features"),
        (np.array([[1, "a"]], dtype=object), "Python objects"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    path = tmp_path / "x_ims.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(InputError, match=words) as refusal:
        open_features(path)
    assert str(path) in str(refusal.value)


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


def test_uneven_repetition_and_odd_counts_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x_ims.npy", np.array([[1.0], [1.0], [2.0], [3.0]], np.float32))
    with pytest.raises(InputError, match="the first image fills 2 rows"):
        rows_per_image(open_features(path), 4, path)
    with pytest.raises(InputError, match="4 rows do not divide the 21 captions"):
        rows_per_image(open_features(path), 21, path)


@pytest.mark.parametrize("captions", [1, 3, 5])
def test_captions_per_image_are_derived(tmp_path: Path, make_data_set, captions: int) -> None:
    folder = make_data_set(tmp_path / "x", captions=captions)
    split = open_split(folder, "train")
    assert split.captions_per_image == captions
    np.testing.assert_array_equal(split.caption_image, np.arange(24 * captions) // captions)


def test_dev_is_cut_to_its_first_thousand_images(tmp_path: Path, make_data_set) -> None:
    folder = make_data_set(tmp_path / "x", images=(2, 1010, 2), regions=0)
    dev = open_dev(folder)
    assert len(dev.images) == 1000
    assert len(dev.captions) == len(dev.caption_image) == 5000
    assert len(open_dev(make_data_set(tmp_path / "y")).images) == 8


def test_img_dim_is_only_checked(tmp_path: Path, make_data_set) -> None:
    folder = make_data_set(tmp_path / "x", regions=4, size=6)
    open_split(folder, "train", img_dim=6)
    open_split(folder, "train", img_dim=24)
    with pytest.raises(InputError, match=r"contradict --img_dim 2048"):
        open_split(folder, "train", img_dim=2048)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("f30k", "f30k_precomp"),
        ("f30k_precomp", "f30k"),
        ("f30k", "f30k/precomp"),
        ("IAPRTC_precomp", "iaprtc12_precomp"),
        ("IAPRTC12_precomp", "IAPR"),
        ("iaprtc12", "IAPRTC12_precomp"),
        ("coco", "precomp"),
        ("own", "."),
        (None, "."),
    ],
)
def test_a_data_set_is_found_under_every_name_it_goes_by(
    tmp_path: Path, make_data_set, name: str | None, folder: str
) -> None:
    make_data_set(tmp_path / folder)
    assert find_data_set(tmp_path, name).resolve() == (tmp_path / folder).resolve()


def test_a_missing_data_set_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for f30k_precomp, .*f30k/precomp, .*precomp") as refusal:
        find_data_set(tmp_path, "f30k_precomp")
    assert str(tmp_path) in str(refusal.value)
    with pytest.raises(InputError, match="no such folder"):
        find_data_set(tmp_path / "nothing", "f30k")


def test_names_of_one_data_set_are_the_same() -> None:
    assert {canonical_name(n) for n in ("iaprtc12", "IAPRTC12", "IAPRTC", "IAPR", "IAPRTC_precomp")} == {"iaprtc12"}
    assert canonical_name("f30k_precomp") == "f30k"
    assert canonical_name("mine") == "mine"
