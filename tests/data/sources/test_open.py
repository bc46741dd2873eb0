"""The form of a feature file is known by its content, whatever its name."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.data.sources.examples import features, write_tsv
from vse.data.sources.arrays import FolderSource
from vse.data.sources.lmdb import LmdbSource
from vse.data.sources.open import open_source
from vse.data.sources.table import TableSource
from vse.data.sources.tsv import TsvSource
from vse.errors import InputError


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    h5py, lmdb = pytest.importorskip("h5py"), pytest.importorskip("lmdb")
    with h5py.File(tmp_path / "features.bin", "w") as file:
        file["features"], file["ids"] = np.stack([features(1)]), [1]
    lmdb.open(str(tmp_path / "database")).close()
    (tmp_path / "arrays.lmdb").mkdir()
    np.save(tmp_path / "arrays.lmdb/1.npy", features(1))
    (tmp_path / "database/data.mdb").rename(tmp_path / "moved")
    (tmp_path / "database/data.mdb").write_bytes((tmp_path / "moved").read_bytes())
    assert isinstance(open_source(tmp_path / "features.bin"), TableSource)
    assert isinstance(open_source(tmp_path / "database"), LmdbSource)
    assert isinstance(open_source(tmp_path / "moved"), LmdbSource)
    assert isinstance(open_source(tmp_path / "arrays.lmdb"), FolderSource)
    assert isinstance(open_source(write_tsv(tmp_path / "table.h5")), TsvSource)


@pytest.mark.parametrize("name", ["absent.tsv", "empty", "a.pkl"])
def test_what_holds_no_features_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match=name):
        open_source(tmp_path / name)
