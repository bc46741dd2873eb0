"""The embedded data set: the same bytes everywhere, features from pixels, five different captions a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.datasets import open_split
from vse.data.demo import VERSION_FILE, make_demo
from vse.errors import InputError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo_precomp"
    make_demo(folder, sizes=(6, 3, 3))
    return folder


def test_it_is_a_data_set_of_the_fields_form(demo: Path) -> None:
    for name, images in (("train", 6), ("dev", 3), ("test", 3)):
        split = open_split(demo, name)
        assert len(split.images) == images
        assert split.images.shape == (36, 256)
        assert len(split.captions) == 5 * images
        assert len((demo / f"{name}_names.txt").read_text().split()) == images
        boxes = np.load(demo / f"{name}_ims_bbx.npy", allow_pickle=False)
        sizes = np.load(demo / f"{name}_ims_size.npy", allow_pickle=False)
        assert boxes.shape == (images, 36, 4)
        assert (boxes[..., :2] >= 0).all()
        assert (boxes[..., :2] < boxes[..., 2:]).all()
        assert (boxes[..., 2] <= sizes["image_w"][:, None]).all()
        assert (boxes[..., 3] <= sizes["image_h"][:, None]).all()
    assert len(list((demo / "images").iterdir())) == 12


def test_two_makings_give_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    make_demo(tmp_path / "again", sizes=(6, 3, 3))
    for file in demo.rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(demo)).read_bytes(), file.name


def test_it_is_made_once_and_anew_when_the_generator_changed(demo: Path) -> None:
    before = (demo / "train_caps.txt").stat().st_mtime_ns
    make_demo(demo, sizes=(6, 3, 3))
    assert (demo / "train_caps.txt").stat().st_mtime_ns == before
    (demo / VERSION_FILE).write_text("version 0\n")
    make_demo(demo, sizes=(6, 3, 3))
    assert (demo / "train_caps.txt").stat().st_mtime_ns != before
    assert not [path for path in demo.parent.iterdir() if path.name.startswith(".")]


def test_somebodys_own_files_are_never_replaced(tmp_path: Path) -> None:
    own = tmp_path / "demo_precomp" / "mine.txt"
    own.parent.mkdir()
    own.write_text("precious")
    with pytest.raises(InputError, match="not the demo data set"):
        make_demo(own.parent, sizes=(1, 1, 1))
    assert own.read_text() == "precious"
