"""Images of several sources fit each other, their boxes lie inside their pictures, and shorter ones are padded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.sources.examples import boxes, collected, features, line
from vse.data.sources.tsv import TsvSource
from vse.errors import InputError


def write(path: Path, *rows: tuple[object, int], shift: float = 0.0, scale: float = 1.0) -> TsvSource:
    lines = [line(image, features(k, n), (boxes(k, n) + shift) * scale) for k, (image, n) in enumerate(rows)]
    path.write_text("".join(lines))
    return TsvSource(path)


def test_images_with_fewer_regions_are_padded_with_zeros(tmp_path: Path) -> None:
    images = collected(write(tmp_path / "a.tsv", ("a", 5), ("b", 2)))
    assert images.shape == (5, 4)
    assert images.padded
    assert images.lengths.tolist() == [5, 2]
    np.testing.assert_array_equal(images.read(1)[:2], features(1, 2))
    np.testing.assert_array_equal(images.boxes(1)[:2], boxes(1, 2))  # type: ignore[index]
    assert not images.read(1)[2:].any()
    assert not images.boxes(1)[2:].any()  # type: ignore[index]


def test_regions_beyond_the_number_asked_for_are_cut(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tsv", ("a", 5), ("b", 2))
    images = collected(source, regions=2)
    assert images.shape == (2, 4)
    assert not images.padded
    np.testing.assert_array_equal(images.read(0), features(0, 5)[:2])
    np.testing.assert_array_equal(images.boxes(0), boxes(0, 5)[:2])
    assert collected(source, regions=3).lengths.tolist() == [3, 2]
    assert collected(source, regions=9).shape == (5, 4)


def test_sources_of_another_size_are_refused(tmp_path: Path) -> None:
    wide = write(tmp_path / "a.tsv", ("a", 3))
    (tmp_path / "b.tsv").write_text(line("b", features(1, 3, 6)))
    with pytest.raises(InputError, match=r"b\.tsv, line 1: features \[3, 6\] after \[3, 4\]"):
        collected(wide, TsvSource(tmp_path / "b.tsv"))


def test_relative_boxes_are_written_in_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = collected(write(tmp_path / "a.tsv", ("a", 3), ("b", 3), scale=0.01))
    np.testing.assert_allclose(images.boxes(1), boxes(1) * 0.01 * [640, 480, 640, 480], rtol=1e-6)
    assert "boxes lie in 0 ... 1" in capsys.readouterr().out


@pytest.mark.parametrize(("shift", "words"), [(600, "expected x1 y1 x2 y2 in pixels"), (400, "the wrong way round")])
def test_boxes_outside_their_picture_are_refused(tmp_path: Path, shift: float, words: str) -> None:
    source = write(tmp_path / "a.tsv", ("a", 3), shift=shift)
    with pytest.raises(InputError, match=rf"line 1: box .* leaves a picture of 640 x 480 pixels.*{words}"):
        collected(source)
    np.testing.assert_array_equal(collected(source, trust=True).boxes(0), boxes(0) + np.float32(shift))


def test_boxes_may_leave_their_picture_by_rounding(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(line("a", features(1, 1), np.array([[0, -0.6, 640.8, 481]], np.float32)))
    collected(TsvSource(tmp_path / "a.tsv"))


def test_boxes_for_some_images_only_are_refused(tmp_path: Path) -> None:
    bare = line("b", features(1)).split("\t")
    (tmp_path / "b.tsv").write_text("\t".join([bare[0], bare[3], bare[5]]))
    with pytest.raises(InputError, match=r"line 1: (no boxes|a size for some images only)"):
        collected(write(tmp_path / "a.tsv", ("a", 3)), TsvSource(tmp_path / "b.tsv", "image_id,num_boxes,features"))


def test_boxes_without_area_are_kept_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = boxes(1)
    flat[1, 2] = flat[1, 0]
    (tmp_path / "a.tsv").write_text(line(1, features(1), flat))
    np.testing.assert_array_equal(collected(TsvSource(tmp_path / "a.tsv")).boxes(0), flat)
    assert "1 boxes have no area" in capsys.readouterr().err
