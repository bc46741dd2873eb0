"""`python -m vse index`: what is new is added, what has changed is replaced, the rest stays to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trained import features, write_checkpoint
from vse.errors import InputError
from vse.search.store import Index
from vse.tools import index, search
from vse.tools.options import IndexOptions, SearchOptions


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model.pth.tar")


@pytest.fixture
def made(tmp_path: Path, model: Path, data_root: Path) -> Path:
    index.main(IndexOptions(str(model), str(data_root / "small_precomp"), str(tmp_path / "index"), device="cpu"))
    return tmp_path / "index"


def test_indexing_again_changes_nothing(
    made: Path, model: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    index.main(IndexOptions(str(model), str(data_root / "small_precomp"), str(made), device="cpu"))
    assert "images: 0 added, 0 replaced, 0 removed, 8 unchanged; 8 in" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_changed_features_are_replaced(
    made: Path, model: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data_root / "small_precomp" / "test_ims.npy"
    array = np.load(path)
    array[3] += 1
    np.save(path, array)
    index.main(IndexOptions(str(model), str(data_root / "small_precomp"), str(made), device="cpu"))
    assert "images: 0 added, 1 replaced, 0 removed, 7 unchanged; 8 in" in capsys.readouterr().out


def test_pictures_are_added_replaced_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.pth.tar", shape=(3, 224, 224), cnn_type="resnet18")
    (tmp_path / "own").mkdir()
    (tmp_path / "own_too").mkdir()

    def index_again(folder: str, **colours: str) -> str:
        for name, colour in colours.items():
            Image.new("RGB", (20, 20), colour).save(tmp_path / folder / f"{name}.png")
        index.main(IndexOptions(str(checkpoint), str(tmp_path / folder), str(tmp_path / "index"), device="cpu"))
        return capsys.readouterr().out

    index_again("own", a="red", b="blue", c="green")
    assert "images: 1 added, 0 replaced, 0 removed, 0 unchanged; 4 in" in index_again("own_too", d="red")
    (tmp_path / "own" / "a.png").unlink()
    assert "images: 1 added, 1 replaced, 1 removed, 1 unchanged; 4 in" in index_again("own", b="white", e="black")
    names = sorted(item.name for item in Index(tmp_path / "index").items("images"))
    assert names == ["b.png", "c.png", "d.png", "e.png"]


def test_a_first_call_that_fails_leaves_an_index_of_nothing(tmp_path: Path, model: Path) -> None:
    np.save(tmp_path / "mine.npy", np.full_like(features(3), np.nan))
    with pytest.raises(InputError, match="NaN"):
        index.main(IndexOptions(str(model), str(tmp_path / "mine.npy"), str(tmp_path / "i"), device="cpu"))
    with pytest.raises(InputError, match="holds no images; index some"):
        search.main(SearchOptions(str(tmp_path / "i"), ("a dog",), device="cpu"))


@pytest.mark.parametrize(("name", "options"), [("SGRAF", {}), ("VSEpp", {"measure": "order"})])
def test_faiss_is_refused_where_scores_are_no_inner_products(name: str, options: dict, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "other.pth.tar", name, **options)
    np.save(tmp_path / "mine.npy", features(3))
    with pytest.raises(InputError, match="no inner products"):
        index.main(IndexOptions(str(checkpoint), str(tmp_path / "mine.npy"), str(tmp_path / "i"), faiss="flat"))
