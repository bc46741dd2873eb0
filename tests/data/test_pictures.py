"""Pictures of a split: what is kept, named and drawn, and which names are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.pictures import Pictures, evenly, inside, join, merge_restval, picture_folder, seeded_splits, split_name
from vse.errors import InputError
from vse.files import write_atomically


def uneven(folder: Path) -> Pictures:
    captions = ["00", "01", "10", "20", "21", "22"]
    return Pictures(
        folder, ["a", "b", "c"], np.arange(3), captions, np.array([0, 0, 1, 2, 2, 2]), np.arange(10, 16), (folder,)
    )


def test_keeping_images_renumbers_their_captions(tmp_path: Path) -> None:
    kept = uneven(tmp_path).keep(np.array([True, False, True]))
    assert kept.names == ["a", "c"]
    assert kept.caption_image.tolist() == [0, 0, 1, 1, 1]
    assert kept.caption_ids is not None
    assert kept.caption_ids.tolist() == [10, 11, 13, 14, 15]
    assert kept.sources == (tmp_path,)


def test_captions_are_cut_only_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = uneven(tmp_path)
    assert evenly(pictures) is pictures
    cut = evenly(pictures, 2)
    assert cut.captions == ["00", "01", "20", "21"]
    assert cut.ids.tolist() == [0, 2]
    assert cut.even
    assert "1 images with fewer than 2 captions left out: b" in capsys.readouterr().err


def test_restval_becomes_part_of_train(tmp_path: Path) -> None:
    train, restval = uneven(tmp_path), uneven(tmp_path)
    merged = merge_restval({"train": train, "restval": restval, "trainrestval": join(train, restval)})
    assert list(merged) == ["train"]
    assert merged["train"].caption_image.tolist() == [0, 0, 1, 2, 2, 2, 3, 3, 4, 5, 5, 5]
    assert merged["train"].caption_ids is not None


def test_names_stay_in_their_folder() -> None:
    assert inside("val2014/a b.jpg", "x.json") == "val2014/a b.jpg"
    for name in ("..", "a/../../b", "/a", "\\\\host\\share", "", ".", "a\0b", "a\nb"):
        with pytest.raises(InputError, match=r"x\.json"):
            inside(name, "x.json")


def test_seeded_splits_have_the_sizes_asked_for() -> None:
    names = seeded_splits(20, 3, 4, seed=5)
    assert [int((names == split).sum()) for split in ("train", "dev", "test")] == [13, 3, 4]


@pytest.mark.parametrize(("name", "split"), [("validation", "dev"), (" Val ", "dev"), ("TRAIN", "train")])
def test_splits_go_by_every_name_of_the_field(name: str, split: str) -> None:
    assert split_name(name, "x.csv") == split
    with pytest.raises(InputError, match=r"x\.csv: unknown split 'holdout'"):
        split_name("holdout", "x.csv")


def test_pictures_are_found_where_the_record_points(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for place in (folder, tmp_path / "images", tmp_path / "elsewhere"):
        place.mkdir()
    assert picture_folder(folder) == tmp_path / "images"
    content = f'{{"images": "{tmp_path / "elsewhere"}"}}'.encode()
    write_atomically(folder / "pictures.json", lambda file: file.write(content))
    assert picture_folder(folder) == tmp_path / "elsewhere"
    (folder / "Images").mkdir()
    assert picture_folder(folder) == folder / "Images"
