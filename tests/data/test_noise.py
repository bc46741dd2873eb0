"""Which pairs noise mismatches, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vse.data.batches import EpochSampler
from vse.data.datasets import Split, open_split
from vse.data.noise import Noise, corrupt, read_index
from vse.errors import InputError
from vse.options import DataOptions

IMAGES, CAPTIONS = 24, 120


@pytest.fixture
def split(tmp_path: Path, make_data_set: Callable[..., Path]) -> Split:
    """24 images with five captions each."""
    return open_split(make_data_set(tmp_path / "small"), "train")


def noise_of(split: Split, share: float = 0.0, protocol: str | None = None, seed: int = 0) -> Noise:
    noise = corrupt(split, DataOptions(noise=share, noise_protocol=protocol, noise_seed=seed))
    assert noise is not None
    return noise


def saved(tmp_path: Path, index: object) -> str:
    np.save(tmp_path / "given.npy", index)
    return str(tmp_path / "given.npy")


def test_without_flags_no_pair_is_touched(split: Split) -> None:
    assert corrupt(split, DataOptions()) is None


def test_captions_exchange_their_images_one_by_one(split: Split) -> None:
    noise = noise_of(split, 0.5, "captions")
    assert sorted(noise.index) == split.caption_image.tolist()
    moved = np.flatnonzero(noise.index != split.caption_image)
    assert 40 < len(moved) <= 60
    per_image = np.bincount(split.caption_image[moved], minlength=IMAGES)
    assert ((per_image > 0) & (per_image < 5)).any()


def test_all_captions_of_an_image_get_the_same_other_one(split: Split) -> None:
    noise = noise_of(split, 0.5, "images")
    given = noise.index.reshape(IMAGES, 5)
    assert (given == given[:, :1]).all()
    assert sorted(given[:, 0]) == list(range(IMAGES))
    assert 0 < (given[:, 0] != np.arange(IMAGES)).sum() <= 12


def test_images_with_different_numbers_of_captions_exchange_them(split: Split) -> None:
    split.caption_image = np.repeat([0, 2, 5, 9], [1, 4, 2, 3])
    noise = noise_of(split, 0.9, "images")
    assert [len(set(noise.index[split.caption_image == image])) for image in (0, 2, 5, 9)] == [1, 1, 1, 1]
    assert set(noise.index) == {0, 2, 5, 9}


@pytest.mark.parametrize("protocol", ["captions", "images"])
def test_noise_is_a_function_of_its_seed(split: Split, protocol: str) -> None:
    first, again, other = (noise_of(split, 0.4, protocol, seed).index for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("protocol", ["captions", "images"])
def test_mismatched_pairs_come_at_any_time_of_an_epoch(split: Split, protocol: str) -> None:
    split.caption_image = np.arange(1000)  # one order of captions, drawn from the same seed, would begin with them
    first = next(iter(EpochSampler(1000, 400, seed=0, epoch=0))).captions
    assert noise_of(split, 0.4, protocol).wrong[first].mean() == pytest.approx(0.4, abs=0.1)


def test_the_split_keeps_its_own_pairs(split: Split) -> None:
    before = split.caption_image.copy()
    noise_of(split, 0.6, "captions")
    assert (split.caption_image == before).all()


@pytest.mark.parametrize("protocol", ["captions", "images"])
def test_only_captions_with_another_image_are_mismatched(split: Split, protocol: str) -> None:
    for seed in range(20):
        noise = noise_of(split, 0.3, protocol, seed)
        assert (noise.wrong == (noise.index != split.caption_image)).all()
        assert noise.describe()["mismatched"] == noise.wrong.sum()


def test_the_line_has_protocol_seed_and_the_exact_count(split: Split) -> None:
    split.caption_image = np.repeat(np.arange(2), 5)
    noise = noise_of(split, 0.7, "captions", seed=5)
    wrong = int(noise.wrong.sum())
    told = f"{wrong} of 10 captions have another image ({10 * wrong}.00%)"
    assert str(noise) == f"noise: 7 of 10 captions (captions, seed 5), {told}"


def test_a_saved_index_gives_the_same_noise_again(split: Split, tmp_path: Path) -> None:
    noise = noise_of(split, 0.4, "captions")
    noise.save(tmp_path)
    again = noise_of(split, protocol=str(tmp_path / "noise.npy"))
    assert (again.index == noise.index).all()
    assert again.describe() == noise.describe()


def test_an_index_of_images_holds_for_all_captions(split: Split, tmp_path: Path) -> None:
    images = np.arange(IMAGES)
    images[[3, 4]] = 4, 3
    noise = noise_of(split, protocol=saved(tmp_path, images))
    assert np.flatnonzero(noise.wrong).tolist() == list(range(15, 25))
    assert (noise.index[15:20] == 4).all()


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (np.arange(CAPTIONS - 1), r"int64 \[119\]; expected whole numbers, the image of each of 120 captions, or of"),
        (np.zeros((IMAGES, 5), np.int64), r"int64 \[24, 5\]; expected whole numbers"),
        (np.zeros(CAPTIONS), r"float64 \[120\]; expected whole numbers"),
        (np.arange(CAPTIONS) // 4, "place 96 names image 24, and so do 23 more places.* 0 to 23"),
        (np.full(IMAGES, -1), "place 0 names image -1"),
        (np.arange(IMAGES), "every caption keeps its image"),
        (np.full(CAPTIONS, 3), "all captions get image 3"),
    ],
)
def test_an_index_of_other_data_is_refused(split: Split, tmp_path: Path, index: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        noise_of(split, protocol=saved(tmp_path, index))


@pytest.mark.parametrize(("name", "message"), [("no.npy", "no such file"), ("caption", "expected captions, images or")])
def test_a_protocol_that_is_neither_name_nor_file_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_index(Path(name), np.arange(4), 4)


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    np.savez(tmp_path / "archive.npz", index=np.arange(4))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    for name in ("cut", "archive", "huge"):
        with pytest.raises(InputError, match=rf"{name}\.npy: not a readable \.npy file"):
            read_index(tmp_path / f"{name}.npy", np.arange(4), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 0.4}, "--noise 0.4: give --noise_protocol captions"),
        ({"noise_protocol": "images"}, "--noise_protocol images does nothing without --noise"),
        ({"noise_seed": 3}, "--noise_seed 3 does nothing without --noise"),
        ({"noise": 0.4, "noise_protocol": "a.npy"}, r"--noise 0\.4 does nothing with --noise_protocol a\.npy"),
        ({"noise_seed": 4, "noise_protocol": "a.npy"}, r"--noise_seed 4 does nothing with --noise_protocol a\.npy"),
        ({"noise": 0.01, "noise_protocol": "captions"}, "none of 120 captions gets another image"),
    ],
)
def test_flags_that_do_nothing_are_refused(split: Split, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        corrupt(split, DataOptions(**options))  # type: ignore[arg-type]
