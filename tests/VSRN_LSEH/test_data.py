"""Which vocabulary VSRN reads IAPR TC-12 with."""

from __future__ import annotations

from pathlib import Path

import pytest

from VSRN_LSEH.data import vocabulary_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f30k_precomp_vocab.pkl").touch()
    return tmp_path


@pytest.mark.parametrize("name", ["iaprtc12", "IAPRTC12_precomp", "IAPR_precomp"])
def test_iapr_tc_12_is_read_with_the_vocabulary_of_flickr30k(folder: Path, name: str) -> None:
    assert vocabulary_path(str(folder), name) == str(folder / "f30k_precomp_vocab.pkl")


def test_a_vocabulary_of_its_own_comes_first(folder: Path) -> None:
    (folder / "iaprtc12_vocab.json").touch()
    assert vocabulary_path(str(folder), "IAPRTC12") == str(folder)


@pytest.mark.parametrize("name", ["coco_precomp", "f30k", None])
def test_other_data_sets_keep_their_vocabulary(folder: Path, name: str | None) -> None:
    assert vocabulary_path(str(folder), name) == str(folder)


def test_without_a_vocabulary_of_flickr30k_one_is_built(tmp_path: Path) -> None:
    assert vocabulary_path(str(tmp_path), "iaprtc12") == str(tmp_path)
    assert vocabulary_path(None, "iaprtc12") is None
