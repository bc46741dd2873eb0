"""Boxes and sizes come from files; without them a substitute is used and announced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.boxes import grid, read_boxes
from vse.data.datasets import Split, open_split
from vse.errors import InputError

IMAGES = 8


@pytest.fixture
def split(tmp_path: Path, make_data_set) -> Split:
    return open_split(make_data_set(tmp_path / "small", images=(IMAGES, 2, 2)), "train")


def beside(split: Split, ending: str) -> Path:
    return split.file(f"{ending}")


def test_boxes_are_divided_by_the_size_of_the_image(split: Split) -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(1, 100, size=(IMAGES, 4, 4)).astype(np.float32)
    sizes = generator.uniform(100, 200, size=(IMAGES, 2)).astype(np.float32)
    np.save(beside(split, "ims_bbx.npy"), corners)
    np.save(beside(split, "ims_size.npy"), sizes)
    boxes = read_boxes(split, stand_in=False)
    whole = sizes[:, None, [0, 1, 0, 1]]
    chosen = np.array([3, 0])
    np.testing.assert_allclose(boxes.divided(chosen), (corners / whole)[chosen], rtol=1e-6)
    twice = boxes.divided(chosen, np.array([2, 1])).numpy()
    np.testing.assert_allclose(twice, np.stack([(corners / whole**2)[3], (corners / whole)[0]]), rtol=1e-6)


def test_boxes_without_sizes_are_either_normalised_or_refused(split: Split) -> None:
    np.save(beside(split, "ims_bbx.npy"), np.full((IMAGES, 4, 4), 0.5, np.float16))
    assert (read_boxes(split, stand_in=False).divided(np.arange(2)) == 0.5).all()
    np.save(beside(split, "ims_bbx.npy"), np.full((IMAGES, 4, 4), 50, np.float32))
    with pytest.raises(InputError, match=r"ims_size\.npy: no such file"):
        read_boxes(split, stand_in=True)


def test_relative_boxes_are_never_divided_again(split: Split, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(beside(split, "ims_bbx.npy"), np.full((IMAGES, 4, 4), 0.5, np.float32))
    np.save(beside(split, "ims_size.npy"), np.full((IMAGES, 2), 100))
    assert (read_boxes(split, stand_in=False).divided(np.arange(2)) == 0.5).all()
    assert "ims_size.npy: not used, because the boxes lie within 0 ... 1 already" in capsys.readouterr().out


def test_boxes_and_sizes_of_other_images_are_refused(split: Split) -> None:
    np.save(beside(split, "ims_bbx.npy"), np.tile(np.array([0, 0, 600, 400], np.float32), (IMAGES, 4, 1)))
    np.save(beside(split, "ims_size.npy"), np.tile([640, 480], (IMAGES, 1)))
    read_boxes(split, stand_in=False)
    np.save(beside(split, "ims_size.npy"), np.tile([480, 640], (IMAGES, 1)))
    with pytest.raises(InputError, match=r"ims_size\.npy: 100% of the boxes lie outside images of these sizes"):
        read_boxes(split, stand_in=False)


def test_a_grid_stands_in_for_boxes_where_they_hardly_matter(split: Split, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = read_boxes(split, stand_in=True).divided(np.arange(IMAGES))
    assert "using a regular grid" in capsys.readouterr().out
    np.testing.assert_allclose(boxes[0], [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    with pytest.raises(InputError, match="--graph propagate needs the boxes"):
        read_boxes(split, stand_in=False)
    assert len(np.unique(grid(7), axis=0)) == 7


def test_files_of_other_features_are_refused(split: Split) -> None:
    for shape, sentence in (((IMAGES, 5, 4), "a box x1 y1 x2 y2 for each region"), ((3, 4, 4), "3 rows; expected")):
        np.save(beside(split, "ims_bbx.npy"), np.zeros(shape))
        with pytest.raises(InputError, match=sentence):
            read_boxes(split, stand_in=True)
