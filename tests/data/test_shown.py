"""Where the pictures of a split's images are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vse.data.datasets import open_split
from vse.data.shown import ShownPictures
from vse.errors import InputError


@pytest.fixture
def folder(tmp_path: Path, make_data_set) -> Path:
    return make_data_set(tmp_path / "small_precomp")


def test_names_lead_to_the_pictures_of_a_given_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "test_names.txt").write_text("".join(f"{image}.png\n" for image in range(8)))
    Image.new("RGB", (4, 2), "red").save(tmp_path / "5.png")
    shown = ShownPictures(open_split(folder, "test"), str(tmp_path))
    picture = shown.open(5)
    assert picture is not None
    assert picture.size == (4, 2)
    assert shown.name(5) == "5.png"
    assert shown.open(2) is None
    assert shown.missing == [2]


def test_without_names_it_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    shown = ShownPictures(open_split(folder, "test"), str(tmp_path))
    assert shown.open(0) is None
    assert "no such file; expected the picture file of each" in shown.problem


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "test_names.txt").write_text("../secret.png\n" * 8)
    with pytest.raises(InputError, match=r"_names\.txt: the file name .* leads out of the picture folder"):
        ShownPictures(open_split(folder, "test"), str(tmp_path))
