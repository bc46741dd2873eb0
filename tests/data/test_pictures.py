"""The splits of a data set folder that holds pictures: what belongs to what, and which file names are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.pictures import Pictures, folder_pictures, inside, seeded_splits
from vse.errors import InputError


def test_published_grid_layout_derives_captions_per_image(tmp_path: Path) -> None:
    data = tmp_path / "precomp"
    data.mkdir()
    (tmp_path / "flickr30k-images").mkdir()
    (tmp_path / "id_mapping.json").write_text('{"4": "d.jpg", "2": "b.jpg"}')
    (data / "dev_ids.txt").write_text("4\n2\n")
    (data / "dev_caps.txt").write_text("a\nb\nc\nd\ne\nf\n")
    dev = folder_pictures(data)["dev"]
    assert dev.paths == [tmp_path / "flickr30k-images/d.jpg", tmp_path / "flickr30k-images/b.jpg"]
    assert dev.caption_image.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ("4\n9\n", "no file name, first 9"),
        ("4\n", None),
        ("4\n2\n4\n", "do not divide"),
        ("4\nx\n", "line 2"),
        ("", "do not"),
    ],
)
def test_ids_and_captions_must_belong_together(tmp_path: Path, ids: str, complaint: str | None) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "id_mapping.json").write_text('{"4": "d.jpg", "2": "b.jpg"}')
    (tmp_path / "dev_ids.txt").write_text(ids)
    (tmp_path / "dev_caps.txt").write_text("a\nb\n")
    if complaint is None:
        assert folder_pictures(tmp_path)["dev"].caption_image.tolist() == [0, 0]
    else:
        with pytest.raises(InputError, match=complaint):
            folder_pictures(tmp_path)


def test_keeping_images_and_captions_renumbers_them(tmp_path: Path) -> None:
    captions = ["00", "01", "10", "20", "21", "22"]
    owner = np.array([0, 0, 1, 2, 2, 2])
    pictures = Pictures(tmp_path, ["a", "b", "c"], np.arange(3), captions, owner)
    assert not pictures.even
    assert pictures.keep(np.array([True, False, True])).caption_image.tolist() == [0, 0, 1, 1, 1]
    cut = pictures.keep_captions(2)
    assert cut.captions == ["00", "01", "20", "21"]
    assert cut.ids.tolist() == [0, 2]
    assert cut.even


def test_names_stay_in_their_folder() -> None:
    assert inside("val2014/a b.jpg", Path("x.json")) == "val2014/a b.jpg"
    for name in ("..", "a/../../b", "/a", "\\\\host\\share", "", ".", "a\0b"):
        with pytest.raises(InputError):
            inside(name, Path("x.json"))


def test_seeded_splits_have_the_sizes_asked_for() -> None:
    names = seeded_splits(20, 3, 4, seed=5)
    assert [int((names == split).sum()) for split in ("train", "dev", "test")] == [13, 3, 4]
