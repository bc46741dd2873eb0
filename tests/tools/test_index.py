"""`python -m vse index`: what is new is added, what has changed is replaced, the rest stays to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trained import features, write_checkpoint
from vse.errors import InputError
from vse.tools import index
from vse.tools.options import IndexOptions


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
    assert "images: 0 added, 0 replaced, 8 unchanged; 8 in" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_changed_features_are_replaced(
    made: Path, model: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data_root / "small_precomp" / "test_ims.npy"
    array = np.load(path)
    array[3] += 1
    np.save(path, array)
    index.main(IndexOptions(str(model), str(data_root / "small_precomp"), str(made), device="cpu"))
    assert "images: 0 added, 1 replaced, 7 unchanged; 8 in" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "options"), [("SGRAF", {}), ("VSEpp", {"measure": "order"})])
def test_faiss_is_refused_where_scores_are_no_inner_products(name: str, options: dict, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "other.pth.tar", name, **options)
    np.save(tmp_path / "mine.npy", features(3))
    with pytest.raises(InputError, match="no inner products"):
        index.main(IndexOptions(str(checkpoint), str(tmp_path / "mine.npy"), str(tmp_path / "i"), faiss="flat"))
