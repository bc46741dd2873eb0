"""What check finds in the features of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.tools.inspection import inspect


@pytest.fixture
def folder(tmp_path: Path, make_data_set) -> Path:
    return make_data_set(tmp_path / "small")


def change(path: Path, index: object, value: float) -> None:
    array = np.load(path)
    array[index] = value
    np.save(path, array)


def problems(folder: Path, words: str) -> list[str]:
    return [sentence for sentence in inspect(folder).problems if words in sentence]


def test_values_of_another_precision_are_a_problem(folder: Path) -> None:
    assert inspect(folder).problems == []
    change(folder / "dev_ims.npy", (3, 1, 2), 1e30)
    assert problems(folder, "dev_ims.npy: 1 rows with values beyond 1e+06, first 3; their precision was mistaken")


def test_images_of_different_numbers_of_regions_are_shown(folder: Path) -> None:
    np.save(folder / "train_ims_len.npy", np.full(24, 4) - np.arange(24) % 2)
    assert problems(folder, "train_ims.npy: 12 rows with values after their last region, first 1; convert")
    change(folder / "train_ims.npy", (slice(1, None, 2), 3), 0)
    findings = inspect(folder)
    assert findings.problems == []
    assert findings.splits[0]["features"]["regions"] == {"min": 3, "max": 4}
    assert findings.splits[1]["features"]["regions"] is None


def test_dimensions_before_regions_are_a_problem(tmp_path: Path, make_data_set) -> None:
    folder = make_data_set(tmp_path / "turned", regions=300, size=6)
    assert len(problems(folder, "300 regions of 6 dimensions look like the reverse")) == 3


@pytest.mark.parametrize(("box", "wrong"), [([0, 0, 60, 40], 0), ([0, 0, 40, 60], 8), ([30, 0, 20, 40], 8)])
def test_boxes_that_leave_their_picture_are_a_problem(folder: Path, box: list[float], wrong: int) -> None:
    np.save(folder / "test_ims_bbx.npy", np.tile(np.array(box, np.float32), (8, 4, 1)))
    np.save(folder / "test_ims_size.npy", np.tile([64, 48], (8, 1)))
    assert len(problems(folder, f"{wrong} images with boxes that are not within the picture")) == bool(wrong)


@pytest.mark.parametrize(
    "boxes", [np.zeros((8, 0, 4)), np.zeros(8), np.float32(1), np.full((8, 4, 4), "x"), np.zeros((8, 4, 4), complex)]
)
def test_boxes_that_are_none_are_a_problem(folder: Path, boxes: np.ndarray) -> None:
    np.save(folder / "test_ims_bbx.npy", boxes)
    assert problems(folder, "expected numbers [images, 4, 4], x1 y1 x2 y2")


def test_ids_that_come_twice_in_a_split_are_a_problem(folder: Path) -> None:
    lines = [str(image) for image in range(8)]
    (folder / "test_ids.txt").write_text("".join(f"{line}\n" for line in ["3", *lines[1:]]))
    assert problems(
        folder, "test_ids.txt: 1 lines come more than once: 3; expected another one for each of the 8 images"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"word2idx": {"a": "x"}}'])
def test_a_vocabulary_that_training_would_refuse_is_a_problem(folder: Path, content: str) -> None:
    (folder / "vocab.json").write_text(content)
    assert problems(folder, "vocab.json: ")
