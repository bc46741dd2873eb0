"""Boxes and sizes come from the field's files, or from what stands in for them, said in a sentence."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from vse.data.boxes import grid, read_boxes
from vse.data.datasets import Split, open_split
from vse.errors import InputError
from vse.published.sizes import read_sizes

IMAGES = 8


@pytest.fixture
def split(tmp_path: Path, make_data_set) -> Split:
    return open_split(make_data_set(tmp_path / "small", images=(IMAGES, 2, 2)), "train")


def beside(split: Split, ending: str) -> Path:
    return split.file(f"{ending}")


def published_sizes(path: Path, entries: list[dict], protocol: int) -> None:
    """A file as numpy.save wrote it, by any pickle protocol."""
    content = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (len(entries),)}
    np.lib.format.write_array_header_1_0(content, header)
    pickle.dump(np.array(entries, dtype=object), content, protocol=protocol)
    path.write_bytes(content.getvalue())


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", [int, float, np.int64, np.float32])
def test_published_sizes_are_read(tmp_path: Path, protocol: int, kind: type) -> None:
    entries = [{"image_w": kind(300 + k), "image_h": kind(200)} for k in range(3)]
    published_sizes(tmp_path / "sizes.npy", entries, protocol)
    np.testing.assert_array_equal(read_sizes(tmp_path / "sizes.npy"), [[300, 200], [301, 200], [302, 200]])


def test_sizes_of_our_files_are_read_and_others_refused(tmp_path: Path) -> None:
    fields = np.array([(3, 2), (5, 4)], dtype=[("image_w", "<f4"), ("image_h", "<f4")])
    np.save(tmp_path / "fields.npy", fields)
    np.testing.assert_array_equal(read_sizes(tmp_path / "fields.npy"), [[3, 2], [5, 4]])
    np.save(tmp_path / "zero.npy", np.zeros((2, 2)))
    (tmp_path / "text.npy").write_text("no array")
    for name, sentence in (("zero", "not all positive"), ("text", "cannot be read"), ("missing", "no such file")):
        with pytest.raises(InputError, match=sentence):
            read_sizes(tmp_path / f"{name}.npy")


def test_boxes_are_divided_by_the_image_and_legacy_ones_again_and_again(split: Split) -> None:
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


def test_a_grid_stands_in_for_boxes_where_they_hardly_matter(split: Split, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = read_boxes(split, stand_in=True).divided(np.arange(IMAGES))
    assert "a regular grid stands in" in capsys.readouterr().out
    np.testing.assert_allclose(boxes[0], [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    with pytest.raises(InputError, match="--graph propagate needs the boxes"):
        read_boxes(split, stand_in=False)
    assert len(np.unique(grid(7), axis=0)) == 7


def test_files_of_other_features_are_refused(split: Split) -> None:
    for shape, sentence in (((IMAGES, 5, 4), "a box x1 y1 x2 y2 for each region"), ((3, 4, 4), "3 rows; expected")):
        np.save(beside(split, "ims_bbx.npy"), np.zeros(shape))
        with pytest.raises(InputError, match=sentence):
            read_boxes(split, stand_in=True)
