"""Found items equal a full sort, of every network, exactly and by candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import vse
from tests.search.indexed import IMAGES, build
from tests.trained import CAPTIONS, SIZES, features, write_checkpoint
from vse.errors import InputError
from vse.search.find import find
from vse.search.store import Index, Item


@pytest.mark.parametrize("name", SIZES)
def test_images_for_a_sentence_equal_a_full_sort(name: str, tmp_path: Path) -> None:
    model, index, scores = build(tmp_path, name)
    answer = find(model, index, "images", model.encode_text(CAPTIONS[0]), "captions", k=5)
    assert [hit.score for hit in answer.hits] == pytest.approx(scores[:, 0].sort(descending=True).values[:5].tolist())
    assert [hit.score for hit in answer.hits] == pytest.approx(
        [scores[int(hit.item.name), 0].item() for hit in answer.hits], abs=1e-6
    )
    assert answer.how == "every item scored"


@pytest.mark.parametrize("name", SIZES)
def test_captions_for_an_image_equal_a_full_sort(name: str, tmp_path: Path) -> None:
    model, index, scores = build(tmp_path, name)
    answer = find(model, index, "captions", model.encode_images(features(IMAGES)[3]), "images", k=9)
    assert [hit.score for hit in answer.hits] == pytest.approx(
        scores[3].sort(descending=True).values.tolist(), abs=1e-6
    )


def test_order_embeddings_are_searched_by_their_own_measure(tmp_path: Path) -> None:
    model, index, scores = build(tmp_path, measure="order", use_abs=True)
    answer = find(model, index, "images", model.encode_text(CAPTIONS[1]), "captions", k=3)
    assert [hit.score for hit in answer.hits] == pytest.approx(scores[:, 1].sort(descending=True).values[:3].tolist())


def test_images_are_found_by_an_image(tmp_path: Path) -> None:
    model, index, _ = build(tmp_path)
    answer = find(model, index, "images", model.encode_images(features(IMAGES)[11]), "images", k=2)
    assert answer.hits[0].item.name == "11"
    assert answer.hits[0].score == pytest.approx(1)
    assert answer.how == "cosine of images with image"


def test_images_of_a_network_without_vectors_find_no_images(tmp_path: Path) -> None:
    model, index, _ = build(tmp_path, "GSMN")
    with pytest.raises(InputError, match="no vector an item"):
        find(model, index, "images", model.encode_images(features(1)), "images")


def test_sgraf_scores_the_candidates_of_its_global_vectors(tmp_path: Path) -> None:
    model, index, scores = build(tmp_path, "SGRAF")
    query = model.encode_text(CAPTIONS[0])
    answer = find(model, index, "images", query, "captions", k=3, candidates=10)
    assert answer.how == "10 of 40 images scored, candidates by the cosine of global vectors"
    assert [hit.score for hit in answer.hits] == pytest.approx(
        [scores[int(hit.item.name), 0].item() for hit in answer.hits], abs=1e-6
    )
    everything = find(model, index, "images", query, "captions", k=3, candidates=10, exact=True)
    assert everything.how == "every item scored"
    assert everything.hits[0].score == pytest.approx(scores[:, 0].max().item(), abs=1e-6)


def test_vectors_that_are_damaged_are_refused(tmp_path: Path) -> None:
    model, index, _ = build(tmp_path)
    path = next((tmp_path / "index").glob("images-*.vectors.npy"))
    np.save(path, np.load(path) * np.nan)
    with pytest.raises(InputError, match="holds NaN or infinity; make the index again"):
        find(model, index, "images", model.encode_text("a dog"), "captions")


def test_of_equal_scores_the_earlier_row_comes_first(tmp_path: Path) -> None:
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar"), device="cpu")
    (tmp_path / "index").mkdir()
    index = Index(tmp_path / "index", {"weights_sha256": model.digest})
    same = model.encode_images(features(1)).rows(torch.zeros(6, dtype=torch.int64))
    index.update("images", [Item(str(row), str(row), "1") for row in range(6)], lambda p: same.rows(torch.tensor(p)), 2)
    answer = find(model, index, "images", model.encode_text("a dog"), "captions", k=4)
    assert [hit.item.name for hit in answer.hits] == ["0", "1", "2", "3"]
