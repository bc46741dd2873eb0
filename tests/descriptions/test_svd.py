"""Captions become description vectors: TF-IDF of their stems, reduced by a truncated SVD."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from sklearn.feature_extraction.text import TfidfVectorizer

from vse.descriptions import svd
from vse.errors import InputError

WORDS = ["dog", "cat", "boat", "house", "tree", "river", "field", "beach", "running", "jumped", "swimming", "holding"]


def published_tfidf(captions: list[str]) -> tuple[TfidfVectorizer, object]:
    """The published pipeline, token by token."""
    porter = PorterStemmer()
    strings = []
    for caption in captions:
        words = re.sub("[^a-zA-Z#]", " ", caption).lower().split()
        strings.append(" ".join(porter.stem(word) for word in words if word not in svd.STOP_WORDS))
    vectorizer = TfidfVectorizer(stop_words="english", smooth_idf=True)
    return vectorizer, vectorizer.fit_transform(strings)


captions_of_any_text = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.lists(st.sampled_from([*WORDS, "The", "it's", "#1", "#x-ray", "two", "\u212aelvin", "x"])).map(" ".join),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(captions_of_any_text)
def test_any_text_gives_what_scikit_learn_gives(captions: list[str]) -> None:
    captions = ["dogs ran", *captions]
    vectorizer, expected = published_tfidf(captions)
    matrix, terms = svd.tfidf(captions)
    assert terms == vectorizer.get_feature_names_out().tolist()
    assert matrix.shape == expected.shape  # type: ignore[attr-defined]
    np.testing.assert_allclose(matrix.toarray(), expected.toarray(), rtol=0, atol=1e-15)  # type: ignore[attr-defined]


def test_every_distinct_token_is_stemmed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stemmed: list[str] = []
    monkeypatch.setattr(svd, "_porter_stem", lambda word: stemmed.append(word) or word)
    svd.tfidf(["dogs chase dogs", "a dog", "the dogs chase a dog"])
    assert sorted(stemmed) == ["chase", "dog", "dogs"]


def test_an_empty_caption_keeps_its_row() -> None:
    vectors = svd.fit(["a dog runs", "", "a cat sleeps", "the and of", "dog and cat"]).vectors
    assert len(vectors) == 5
    np.testing.assert_array_equal(vectors.any(axis=1), [True, False, True, False, True])


def test_few_terms_or_captions_give_fewer_components() -> None:
    assert svd.fit(["dog cat", "cat boat", "boat dog", "dog"], 400).vectors.shape == (4, 3)
    assert svd.fit(["dog cat river boat house", "tree"], 400).vectors.shape == (2, 2)
    assert svd.fit(["dog cat", "cat boat", "boat dog", "dog"], 2).vectors.shape == (4, 2)


def test_captions_without_a_word_are_refused() -> None:
    with pytest.raises(InputError, match="stop words"):
        svd.fit(["", "this is it"])


def test_the_solvers_agree_where_the_spectrum_is_separated() -> None:
    captions = [" ".join(line) for line in np.random.default_rng(2).choice(WORDS, size=(80, 4))]
    exact, randomized = svd.fit(captions, 6), svd.fit(captions, 6, "randomized")
    np.testing.assert_allclose(exact.singular_values, randomized.singular_values, rtol=1e-7)
    np.testing.assert_allclose(exact.vectors, randomized.vectors, atol=1e-5)  # the signs, too


def test_making_twice_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svd, "_DENSE_FEATURES", 0)
    captions = [" ".join(line) for line in np.random.default_rng(2).choice(WORDS, size=(80, 4))]
    np.testing.assert_array_equal(svd.fit(captions, 6).vectors, svd.fit(captions, 6).vectors)
