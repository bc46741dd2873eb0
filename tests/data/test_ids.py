"""Whose a caption is and which ids it has, by the files of a split other than its features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vse.data.ids import even_split, find_folder, open_split_ids, read_caption_image
from vse.errors import InputError

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write `test_caps.txt` of six captions and other files by name."""

    def write(**files: list[int] | list[str] | np.ndarray) -> Path:
        (tmp_path / "test_caps.txt").write_text("".join(f"caption {k}\n" for k in range(6)))
        for name, content in files.items():
            if isinstance(content, np.ndarray):
                np.save(tmp_path / f"test_{name}.npy", content)
            else:
                (tmp_path / f"test_{name}.txt").write_text("".join(f"{line}\n" for line in content))
        return tmp_path

    return write


def test_captions_belong_evenly_to_the_images_of_the_ids(folder: Folder) -> None:
    split = open_split_ids(folder(ids=[30, 10, 20]), "test")
    assert split.caption_image.tolist() == [0, 0, 1, 1, 2, 2]
    assert split.images == 3
    assert split.image_ids is not None
    assert split.image_ids.tolist() == [30, 10, 20]


def test_an_id_line_a_caption_gives_runs_of_one_id_to_one_image(folder: Folder) -> None:
    split = open_split_ids(folder(ids=[7, 7, 7, 4, 9, 9]), "test")
    assert split.caption_image.tolist() == [0, 0, 0, 1, 2, 2]
    assert split.image_ids is not None
    assert split.image_ids.tolist() == [7, 4, 9]


def test_the_caption_image_file_decides_where_it_is_there(folder: Folder) -> None:
    split = open_split_ids(folder(ids=[5, 6], caption_image=np.array([0, 0, 0, 0, 0, 1])), "test")
    assert split.caption_image.tolist() == [0, 0, 0, 0, 0, 1]


def test_features_and_names_tell_the_number_of_images(folder: Folder) -> None:
    assert open_split_ids(folder(ims=np.zeros((3, 4), np.float32)), "test").images == 3
    (folder() / "test_ims.npy").unlink()
    assert open_split_ids(folder(names=["a.jpg", "b.jpg"]), "test").images == 2


def test_caption_ids_are_read_and_counted(folder: Folder) -> None:
    split = open_split_ids(folder(ids=[1, 2], cap_ids=[11, 12, 13, 14, 15, 16]), "test")
    assert split.caption_ids is not None
    assert split.caption_ids.tolist() == [11, 12, 13, 14, 15, 16]
    with pytest.raises(InputError, match="5 ids for 6 captions"):
        open_split_ids(folder(cap_ids=[11, 12, 13, 14, 15]), "test")


@pytest.mark.parametrize("ids", [[1, 2, 3], [1, 1, 2, 2, 3, 3]])
def test_scores_with_a_row_a_caption_are_refused(folder: Folder, ids: list[int]) -> None:
    with pytest.raises(InputError, match=r"6 images \(rows\), but the test split .* has 3 images and 6 captions"):
        open_split_ids(folder(ids=ids), "test", images=6)


def test_a_split_of_which_nothing_tells_the_images_is_refused(folder: Folder) -> None:
    with pytest.raises(InputError, match="nothing tells the number of images"):
        open_split_ids(folder(), "test")


def test_captions_of_one_image_with_two_ids_are_refused(folder: Folder) -> None:
    path = folder(ids=[7, 7, 7, 4, 9, 9], caption_image=np.array([0, 0, 1, 1, 2, 2]))
    with pytest.raises(InputError, match="captions of one image have different ids"):
        open_split_ids(path, "test")


def test_a_missing_split_names_those_that_are_there(folder: Folder) -> None:
    with pytest.raises(InputError, match="the folder has the splits test"):
        open_split_ids(folder(), "dev")


def test_uneven_captions_are_not_divided_by_guess() -> None:
    with pytest.raises(InputError, match="4 images do not divide 6 captions"):
        even_split(4, 6, "scores")


def test_a_caption_of_an_image_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "owners.txt"
    path.write_text("0\n1\n3\n2\n5\n")
    with pytest.raises(InputError, match=r"2 of 5 captions .* first caption 2 to image 3"):
        read_caption_image(path, 3, 5)
    with pytest.raises(InputError, match="expected the image of each of the 4 captions"):
        read_caption_image(path, 9, 4)
    assert read_caption_image(path, 6, 5).tolist() == [0, 1, 3, 2, 5]


def test_a_data_set_is_named_by_its_folder_or_below_one(tmp_path: Path) -> None:
    there = tmp_path / "data" / "f8k_precomp"
    there.mkdir(parents=True)
    (there / "test_caps.txt").write_text("a dog\n")
    assert find_folder(str(there)) == find_folder(str(there.with_name("f8k"))) == there
    for name in ("f8kk", str(there.with_name("f8kk"))):
        with pytest.raises(InputError) as refusal:
            find_folder(name)
        assert "--" not in str(refusal.value)
