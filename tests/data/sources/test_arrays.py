"""Folders of a .npz or .npy for each image, and tables in one such file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.sources.examples import IDS, boxes, check, collected, features
from vse.data.sources.arrays import FolderSource, open_table
from vse.errors import InputError


def write(folder: Path, **others: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for image in IDS:
        np.savez(folder / f"{image}.npz", x=features(image), bbox=boxes(image), image_w=640, image_h=480, **others)
    return folder


def test_a_file_for_each_image_is_read_in_their_order(tmp_path: Path) -> None:
    check(collected(FolderSource(write(tmp_path / "a"))), sorted(IDS))


def test_pickled_notes_beside_the_features_are_left_alone(tmp_path: Path) -> None:
    check(collected(FolderSource(write(tmp_path / "a", info=np.array({"objects": 3}, dtype=object)))), sorted(IDS))


def test_numbers_of_boxes_say_how_many_rows_count(tmp_path: Path) -> None:
    images = collected(FolderSource(write(tmp_path / "a", num_bbox=2)))
    assert images.lengths.tolist() == [2] * 5
    np.testing.assert_array_equal(images.read(0), features(min(IDS))[:2])
    with pytest.raises(InputError, match="4 boxes for 3 regions"):
        collected(FolderSource(write(tmp_path / "b", num_bbox=4)))


def test_images_in_folders_keep_the_folder_in_their_name(tmp_path: Path) -> None:
    (tmp_path / "a/train").mkdir(parents=True)
    np.save(tmp_path / "a/train/img.v2.npy", features(1))
    np.save(tmp_path / "a/dog.jpg.npy", features(2))
    assert [entry.image for entry in FolderSource(tmp_path / "a").entries()] == ["dog.jpg", "train/img.v2"]


def test_dimensions_first_are_turned_by_the_number_of_boxes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for image in IDS:
        np.savez(tmp_path / f"a/{image}.npz", x=features(image).T, bbox=boxes(image), num_bbox=3)
    images = collected(FolderSource(tmp_path / "a"))
    np.testing.assert_array_equal(images.read(0), features(min(IDS)))


def test_descriptions_of_files_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a_info").mkdir()
    np.save(tmp_path / "a_info/7.npy", features(7))
    np.save(tmp_path / "a_info/7_info.npy", np.array({"boxes": 3}, dtype=object), allow_pickle=True)
    assert [entry.image for entry in FolderSource(tmp_path / "a_info").entries()] == ["7"]
    assert "1 files *_info.npy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("1.npy", b"nothing", r"1\.npy: neither \.npy nor \.npz"),
        ("1.npy", b"\x93NUMPY\x01\x00", r"1\.npy: it is cut off"),
        ("1.npz", b"PK\x03\x04 and no more", r"1\.npz: it is no whole archive"),
        ("1.jpg", b"", r"a folder that holds \*\.jpg; expected a \.npz or \.npy for each image"),
        ("train_ims.npy", b"", "holds train_ims.npy, tables of many images; give these files instead"),
    ],
)
def test_folders_of_other_files_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        FolderSource(tmp_path).entries()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"feats": features(1), "x": features(1)}, "holds feats and x; say which with --features_key"),
        ({"what": features(1)}, "holds what; name the features with --features_key"),
        ({"x": np.array([features(1), None], dtype=object)}, "it holds Python objects"),
        ({"x": features(1), "bbox": np.array(None)}, "it holds Python objects"),
        ({"x": features(1), "num_bbox": np.ones(3)}, r"num_bbox is float64 \[3\]; expected a finite number"),
        ({"x": features(1), "bbox": boxes(1, 2)}, r"boxes \[2, 4\] beside features \[3, 4\]"),
    ],
)
def test_archives_of_another_form_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "1.npz", **arrays)
    with pytest.raises(InputError, match=words):
        collected(FolderSource(tmp_path))


def test_tables_are_read_with_the_ids_beside_them(tmp_path: Path) -> None:
    np.save(tmp_path / "train_ims.npy", np.stack([features(image) for image in IDS]))
    (tmp_path / "train_ids.txt").write_text("".join(f"{image}\n" for image in IDS))
    check(collected(open_table(tmp_path / "train_ims.npy"), axes="rd"), with_boxes=False)
    stacked = [np.stack([make(image) for image in IDS]) for make in (features, boxes)]
    sizes = {"image_w": np.full(5, 640), "image_h": np.full(5, 480)}
    np.savez(tmp_path / "b.npz", features=stacked[0], boxes=stacked[1], image_ids=np.array(IDS), **sizes)
    check(collected(open_table(tmp_path / "b.npz")))
