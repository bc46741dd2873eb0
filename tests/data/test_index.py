"""Reading the index of a data set folder: whose caption is whose, and what does not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.index import folder_pictures, given_caption_image, shared_images, splits_of
from vse.errors import InputError


def write_split(folder: Path, split: str, captions: int, ids: list[object], names: list[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{split}_caps.txt").write_text("".join(f"caption {k}\n" for k in range(captions)))
    (folder / f"{split}_ids.txt").write_text("".join(f"{image_id}\n" for image_id in ids))
    if names is not None:
        (folder / f"{split}_names.txt").write_text("".join(f"{name}\n" for name in names))


def test_published_grid_layout_derives_captions_per_image(tmp_path: Path) -> None:
    data = tmp_path / "precomp"
    (tmp_path / "flickr30k-images").mkdir()
    (tmp_path / "id_mapping.json").write_text('{"4": "d.jpg", "2": "b.jpg"}')
    write_split(data, "dev", 6, [4, 2])
    dev = folder_pictures(data)["dev"]
    assert dev.paths == [tmp_path / "flickr30k-images/d.jpg", tmp_path / "flickr30k-images/b.jpg"]
    assert dev.caption_image.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ([4, 9], "no file name, first 9"),
        ([4, 2, 2], "do not divide"),
        ([4, "x"], "line 2"),
        ([], "do not"),
        ([4, 4], "id 4 stands for several images"),
    ],
)
def test_ids_that_do_not_fit_are_refused(tmp_path: Path, ids: list[object], complaint: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "id_mapping.json").write_text('{"4": "d.jpg", "2": "b.jpg"}')
    write_split(tmp_path, "dev", 4, ids)
    with pytest.raises(InputError, match=complaint):
        folder_pictures(tmp_path)


def test_an_id_line_per_caption_is_an_image_per_run(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_split(tmp_path, "dev", 6, [7, 7, 7, 3, 3, 5], ["g.jpg", "c.jpg", "e.jpg"])
    dev = folder_pictures(tmp_path)["dev"]
    assert dev.ids.tolist() == [7, 3, 5]
    assert dev.caption_image.tolist() == [0, 0, 0, 1, 1, 2]
    assert dev.names == ["g.jpg", "c.jpg", "e.jpg"]


def test_an_id_that_comes_again_later_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path, "dev", 4, [7, 7, 3, 7])
    with pytest.raises(InputError, match=r"dev_ids\.txt, line 4: id 7 comes again after line 1"):
        given_caption_image(tmp_path, "dev", 4)


def test_distinct_ids_tell_nothing_about_images(tmp_path: Path) -> None:
    write_split(tmp_path, "dev", 4, [7, 3, 5, 1])
    assert given_caption_image(tmp_path, "dev", 4) is None
    write_split(tmp_path, "dev", 4, [7, 7])
    assert given_caption_image(tmp_path, "dev", 4) is None


@pytest.mark.parametrize(
    ("caption_image", "complaint"),
    [
        ([0, 0, 1], "int64 \\[3\\]"),
        ([0, 1, 0, 1], "caption 2 belongs to image 0"),
        ([0, 0, 2, 2], "caption 2 belongs to image 2"),
        ([1, 1, 2, 2], "caption 0 belongs to image 1"),
    ],
)
def test_a_caption_image_file_that_does_not_fit_is_refused(
    tmp_path: Path, caption_image: list[int], complaint: str
) -> None:
    np.save(tmp_path / "dev_caption_image.npy", np.array(caption_image))
    with pytest.raises(InputError, match=complaint):
        given_caption_image(tmp_path, "dev", 4)


def test_scans_folders_tell_ids_and_no_names(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 4, [1063, 1056])
    train = folder_pictures(tmp_path, tmp_path, need_names=False)["train"]
    assert train.names == ["1063", "1056"]
    assert not train.named
    with pytest.raises(InputError, match=r"id_mapping\.json: no such file"):
        folder_pictures(tmp_path, tmp_path)


def test_names_that_contradict_the_mapping_are_refused(tmp_path: Path) -> None:
    (tmp_path / "id_mapping.json").write_text('{"4": "d.jpg", "2": "b.jpg"}')
    write_split(tmp_path, "dev", 2, [4, 2], ["d.jpg", "other.jpg"])
    with pytest.raises(InputError, match=r"dev_names\.txt, line 2: other\.jpg, but .* has b\.jpg for id 2"):
        folder_pictures(tmp_path, tmp_path)


def test_caption_ids_are_read_and_counted(tmp_path: Path) -> None:
    write_split(tmp_path, "dev", 2, [4, 2])
    (tmp_path / "dev_cap_ids.txt").write_text("100\n107\n")
    caption_ids = folder_pictures(tmp_path, tmp_path, need_names=False)["dev"].caption_ids
    assert caption_ids is not None
    assert caption_ids.tolist() == [100, 107]
    (tmp_path / "dev_cap_ids.txt").write_text("100\n")
    with pytest.raises(InputError, match="one for each of the 2 captions"):
        folder_pictures(tmp_path, tmp_path, need_names=False)


def test_splits_come_in_the_usual_order(tmp_path: Path) -> None:
    for split in ("own", "test", "dev", "train"):
        write_split(tmp_path, split, 1, [1])
    assert splits_of(tmp_path) == ["train", "dev", "test", "own"]


def test_images_that_splits_share_are_found_by_name_or_id(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 3, [11, 12, 13])
    write_split(tmp_path, "dev", 2, [12, 20])
    write_split(tmp_path, "test", 2, [30, 31])
    write_split(tmp_path, "testall", 3, [30, 31, 32])
    assert shared_images(tmp_path) == [("train", "dev", ["12"])]


def test_numbers_that_begin_anew_in_each_split_are_no_ids(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 3, [0, 1, 2], ["a", "b", "c"])
    write_split(tmp_path, "dev", 2, [0, 1], ["d", "e"])
    assert shared_images(tmp_path) == []
    write_split(tmp_path, "test", 2, [0, 1])
    assert shared_images(tmp_path) == []
    write_split(tmp_path, "dev", 2, [0, 1], ["d", "b"])
    assert shared_images(tmp_path) == [("train", "dev", ["b"])]
