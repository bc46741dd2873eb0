"""FAISS beside an index: candidates of an exact search, and files that do not fit are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.search.indexed import build
from tests.trained import CAPTIONS, features
from vse.errors import InputError
from vse.nn.network import Embeddings
from vse.search import approximate
from vse.search.find import find
from vse.search.store import Index, Item

pytest.importorskip("faiss")


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_faiss_finds_what_an_exact_search_finds(kind: approximate.Kind, tmp_path: Path) -> None:
    model, index, _ = build(tmp_path)
    assert approximate.build(index, "images", kind) == 100
    query = model.encode_text(CAPTIONS[0])
    exact = find(model, index, "images", query, "captions", k=5, exact=True)
    fast = find(model, index, "images", query, "captions", k=5, candidates=20)
    assert fast.how == f"20 of 40 images scored, candidates by FAISS {kind}"
    assert [hit.item for hit in fast.hits] == [hit.item for hit in exact.hits]


def test_copies_of_an_item_do_not_lower_the_recall(tmp_path: Path) -> None:
    copies = torch.randn(1, 8).expand(40, 8).clone()
    index = Index(tmp_path, {"weights_sha256": ""})
    index.update("images", [Item(str(row), "", "") for row in range(40)], lambda places: Embeddings(copies[places]))
    assert approximate.build(index, "images", "flat") == 100


def test_ivfpq_wants_enough_vectors(tmp_path: Path) -> None:
    _, index, _ = build(tmp_path)
    with pytest.raises(InputError, match="10,000 or more"):
        approximate.build(index, "images", "ivfpq")


def test_faiss_without_vectors_is_refused(tmp_path: Path) -> None:
    _, index, _ = build(tmp_path, "GSMN")
    with pytest.raises(InputError, match="no vectors"):
        approximate.build(index, "images", "flat")


def test_faiss_of_other_items_is_not_used(tmp_path: Path) -> None:
    model, index, _ = build(tmp_path)
    approximate.build(index, "images", "flat")
    index.update("images", [Item("new", "new", "1")], lambda places: model.encode_images(features(1)))
    assert "images" not in index.approximate
    assert not (index.folder / "images.faiss").exists()


def test_damaged_faiss_is_refused(tmp_path: Path) -> None:
    model, index, _ = build(tmp_path)
    approximate.build(index, "images", "flat")
    (index.folder / "images.faiss").write_bytes(b"nothing")
    with pytest.raises(InputError, match="missing or damaged"):
        find(model, index, "images", model.encode_text("a dog"), "captions", k=2, candidates=5)
