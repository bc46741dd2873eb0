"""Description vectors equal those of the published script (300 invented captions, 20 components).

The signs of the columns differ between releases of scikit-learn: inner products are compared, never the entries.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vse.descriptions import svd
from vse.descriptions.store import TEXT, load, save
from vse.descriptions.vectors import Descriptions
from vse.text.captions import read_captions

GOLDEN = Path(__file__).parent.parent / "golden" / "svd"
CAPTIONS = GOLDEN / "train_caps.txt"
COMPONENTS = 20


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "svd_small.npz", allow_pickle=False) as archive:
        return dict(archive)


@cache
def fitted(solver: str) -> Descriptions:
    return svd.fit(read_captions(CAPTIONS), COMPONENTS, solver)  # type: ignore[arg-type]


def inner_products(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return vectors @ vectors.T


def test_stop_words_are_nltks_of_february_2022() -> None:
    assert set(golden()["stop_words"].tolist()) == svd.STOP_WORDS
    assert len(svd.STOP_WORDS) == 179


def test_captions_become_the_published_strings() -> None:
    strings = [
        " ".join(filter(None, map(svd.stem, svd.RAW_TOKEN.findall(caption)))) for caption in read_captions(CAPTIONS)
    ]
    assert strings == golden()["preprocessed"].tolist()


def test_tfidf_has_the_published_terms_indices_and_values() -> None:
    matrix, terms = svd.tfidf(read_captions(CAPTIONS))
    assert terms == golden()["features"].tolist()
    np.testing.assert_array_equal(matrix.indptr, golden()["tfidf_indptr"])
    np.testing.assert_array_equal(matrix.indices, golden()["tfidf_indices"])
    np.testing.assert_allclose(matrix.data, golden()["tfidf_data"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", ["exact", "randomized"])
def test_vectors_have_the_published_inner_products(solver: str) -> None:
    descriptions = fitted(solver)
    np.testing.assert_allclose(descriptions.singular_values, golden()["singular_values"], rtol=1e-8)
    np.testing.assert_allclose(
        inner_products(descriptions.vectors), inner_products(golden()["vectors"]), rtol=0, atol=1e-5
    )


def test_lanczos_on_the_sparse_matrix_gives_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svd, "_DENSE_FEATURES", 0)
    descriptions = svd.fit(read_captions(CAPTIONS), COMPONENTS)
    np.testing.assert_allclose(descriptions.singular_values, golden()["singular_values"], rtol=1e-8)
    np.testing.assert_allclose(descriptions.vectors, fitted("exact").vectors, rtol=0, atol=1e-6)


def test_captions_of_stop_words_have_zero_vectors() -> None:
    zero = np.flatnonzero(~fitted("exact").vectors.any(axis=1))
    # Captions 7, 12 and 13 hold words, but lie outside the 20 components: the published file has noise of 1e-16 there.
    noise = np.flatnonzero((golden()["vectors"] ** 2).sum(axis=1) < 1e-12)
    assert set(golden()["zero_rows"].tolist()) <= set(zero.tolist())
    np.testing.assert_array_equal(zero, noise)


def test_text_is_read_by_the_published_reader(tmp_path: Path) -> None:
    save(fitted("exact"), tmp_path, CAPTIONS)
    text = np.loadtxt(tmp_path / TEXT, dtype=float, delimiter=",")
    assert (tmp_path / TEXT).read_text(encoding="ascii").startswith(",".join(["0.0"] * COMPONENTS) + "\n")
    np.testing.assert_array_equal(text.astype(np.float32), fitted("exact").vectors)
    np.testing.assert_array_equal(load(tmp_path, CAPTIONS, 300), fitted("exact").vectors)


def test_a_published_text_is_read_with_its_noise_silenced(tmp_path: Path) -> None:
    np.savetxt(tmp_path / TEXT, golden()["vectors"], fmt="%s", delimiter=",")
    vectors = load(tmp_path, CAPTIONS, 300)
    expected = golden()["vectors"].astype(np.float32)
    expected[(golden()["vectors"] ** 2).sum(axis=1) < 1e-12] = 0
    np.testing.assert_array_equal(vectors, expected)
