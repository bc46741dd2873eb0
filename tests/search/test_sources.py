"""What is indexed: names, digests and pictures of items; broken and foreign files are told in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vse
from tests.trained import features, write_checkpoint
from vse.errors import InputError
from vse.nn.network import Encoding
from vse.search.sources import open_sources


@pytest.fixture
def model(tmp_path: Path) -> vse.Model:
    return vse.load(write_checkpoint(tmp_path / "model.pth.tar"), device="cpu")


def vectors(encoding: Encoding) -> torch.Tensor:
    return encoding.tensors()[0]


def test_a_split_gives_images_and_captions(model: vse.Model, data_root: Path) -> None:
    folder = data_root / "small_precomp"
    (folder / "test_names.txt").write_text("".join(f"{number}.jpg\n" for number in range(8)))
    images, captions = open_sources(model, str(folder), "test", False)
    assert [item.name for item in images.items] == [f"{number}.jpg" for number in range(8)]
    assert [item.name for item in captions.items] == (folder / "test_caps.txt").read_text().splitlines()
    assert len({item.key for item in [*images.items, *captions.items]}) == 48
    expected = model.encode_images(np.load(folder / "test_ims.npy"))
    assert torch.allclose(vectors(images.encode([5, 2])), vectors(expected)[[5, 2]], atol=1e-6)


def test_pictures_of_a_split_are_known_where_they_are_there(model: vse.Model, data_root: Path) -> None:
    folder = data_root / "small_precomp"
    (folder / "images").mkdir()
    Image.new("RGB", (40, 40)).save(folder / "images" / "3.jpg")
    (folder / "test_names.txt").write_text("".join(f"{number}.jpg\n" for number in range(8)))
    images, captions = open_sources(model, str(folder), "test", False)
    assert [item.picture is not None for item in images.items] == [number == 3 for number in range(8)]
    assert captions.items[3 * 5].picture == images.items[3].picture


def test_features_alone_are_images_without_captions(model: vse.Model, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", features(3))
    (source,) = open_sources(model, str(tmp_path / "mine.npy"), "test", False)
    assert [item.name for item in source.items] == ["mine.npy row 0", "mine.npy row 1", "mine.npy row 2"]
    assert len(source.encode([0, 2])) == 2


def test_features_without_regions_are_not_those_of_one_image(model: vse.Model, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", features(4)[:, 0])
    with pytest.raises(InputError, match=r"mine.npy: shape \[4, 6\]; expected \[images, 4, 6\]"):
        open_sources(model, str(tmp_path / "mine.npy"), "test", False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "deep/c.PNG"):
        Image.new("RGB", (40, 30), "green").save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_pictures_of_a_folder_are_found_in_depth(model: vse.Model, pictures: Path) -> None:
    (source,) = open_sources(model, str(pictures), "test", False)
    assert [item.name for item in source.items] == ["a.jpg", "b.png", "deep/c.PNG"]
    assert source.items[1].picture == str((pictures / "b.png").resolve())


def test_a_broken_picture_is_refused_or_left_out_by_name(
    model: vse.Model, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"b\.png: cannot be decoded"):
        open_sources(model, str(pictures), "test", False)
    (source,) = open_sources(model, str(pictures), "test", True)
    assert [item.name for item in source.items] == ["a.jpg", "deep/c.PNG"]
    assert "1 of 3 pictures left out" in capsys.readouterr().err


def test_a_folder_without_pictures_is_refused(model: vse.Model, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        open_sources(model, str(tmp_path / "empty"), "test", False)


def test_a_broken_row_of_features_is_named(model: vse.Model, tmp_path: Path) -> None:
    array = features(3)
    array[2, 0, 0] = np.nan
    np.save(tmp_path / "mine.npy", array)
    [source] = open_sources(model, str(tmp_path / "mine.npy"), "test", False)
    with pytest.raises(InputError, match=r"mine.npy: row 2 holds NaN"):
        source.encode([0, 2])


def test_rows_of_zeros_are_counted(model: vse.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = features(4)
    array[[1, 3]] = 0
    np.save(tmp_path / "mine.npy", array)
    open_sources(model, str(tmp_path / "mine.npy"), "test", False)
    assert "mine.npy: 2 of 4 rows are all zero" in capsys.readouterr().err


def test_nothing_of_that_name_is_refused(model: vse.Model) -> None:
    with pytest.raises(InputError, match="nowhere"):
        open_sources(model, "nowhere", "test", False)
