"""What a digest of a split notices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vse.data.datasets import open_split
from vse.data.digests import BLOCK, describe_array, describe_images, describe_split
from vse.data.images import CropTransform, RawImages


@pytest.fixture
def folder(tmp_path: Path, make_data_set: Callable[..., Path]) -> Path:
    return make_data_set(tmp_path / "small_precomp")


def test_a_split_is_described_by_counts_and_digests(folder: Path) -> None:
    described = describe_split(open_split(folder, "train"))
    assert (described["name"], described["images"], described["captions"]) == ("train", 24, 120)
    assert described["captions_sha256"] == hashlib.sha256((folder / "train_caps.txt").read_bytes()).hexdigest()
    assert described["features"]["shape"] == [4, 6]
    assert described["features"]["kind"] == "float32"
    assert described["folder"] == str(folder)


def test_the_same_rows_in_another_order_have_another_digest(folder: Path) -> None:
    before = describe_split(open_split(folder, "train"))["features"]
    features = np.load(folder / "train_ims.npy")
    features[[7, 8]] = features[[8, 7]]
    np.save(folder / "train_ims.npy", features)
    after = describe_split(open_split(folder, "train"))["features"]
    assert after["shape"] == before["shape"]
    assert after["sampled_sha256"] != before["sampled_sha256"]


def test_a_digest_reads_the_images_in_use_only(folder: Path) -> None:
    features = np.load(folder / "dev_ims.npy")
    few = describe_split(open_split(folder, "dev", first_images=3))["features"]
    assert few == describe_array(features[:3])
    repeated = np.repeat(features, 5, axis=0)  # the form that holds each image once for each of its captions
    np.save(folder / "dev_ims.npy", repeated)
    assert describe_split(open_split(folder, "dev"))["features"] == describe_array(features)


def test_a_long_array_is_sampled_over_its_whole_length() -> None:
    array = np.zeros((3 * BLOCK, 4), np.float32)
    first = describe_array(array)
    array[-1] = 1
    assert describe_array(array) != first


def test_two_rows_that_were_swapped_are_noticed_in_a_long_array() -> None:
    array = np.random.default_rng(0).random((3 * BLOCK + 5, 4), np.float32)
    first = describe_array(array)
    array[[2 * BLOCK + 1, 7]] = array[[7, 2 * BLOCK + 1]]
    assert describe_array(array) != first


def test_pictures_are_told_apart_by_name_and_size(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.new("RGB", (20 + number, 20), "red").save(path)
    transform = CropTransform()
    described = describe_images(RawImages(paths, transform))
    assert described["kind"] == "pictures"
    assert describe_images(RawImages(paths[::-1], transform)) != described
    paths[0].write_bytes(paths[0].read_bytes() + b" ")
    assert describe_images(RawImages(paths, transform)) != described


def test_images_of_another_kind_are_sampled_through_read() -> None:
    class Numbers:
        shape = (2,)

        def __init__(self, first: float) -> None:
            self.first = first

        def __len__(self) -> int:
            return 40

        def read(self, images: np.ndarray, generator: object = None) -> torch.Tensor:
            return torch.from_numpy(images)[:, None].float().repeat(1, 2) + self.first

    assert describe_images(Numbers(0)) == describe_images(Numbers(0))
    assert describe_images(Numbers(0)) != describe_images(Numbers(1))
