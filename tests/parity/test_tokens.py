"""Tokens, vocabularies and ids against what the published readers and NLTK (3.10.4, with its own Punkt data) gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vse.text.token_ids import encode
from vse.text.tokens import TOKENISERS, tokenise
from vse.text.vocabulary import Vocabulary

GOLDEN = Path(__file__).parents[1] / "golden" / "text"


@pytest.fixture(scope="module")
def tokens():
    with np.load(GOLDEN / "tokens.npz", allow_pickle=False) as file:
        return {name: json.loads(str(file[name])) for name in file.files}


@pytest.fixture(scope="module")
def ids():
    with np.load(GOLDEN / "ids.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def captions(ids):
    return [str(caption).strip() for caption in ids["captions"]]


@pytest.mark.parametrize("tokeniser", TOKENISERS)
def test_tokens_are_those_of_nltk_with_its_own_punkt_data(tokens, tokeniser):
    different = [
        (caption, tokenise(caption, tokeniser), expected)
        for caption, expected in zip(tokens["captions"], tokens[tokeniser], strict=True)
        if tokenise(caption, tokeniser) != expected
    ]
    assert different == []


def test_a_built_vocabulary_numbers_words_as_the_original(ids, captions):
    assert list(Vocabulary.build(captions, 4, "ascii-lower").word2idx) == list(ids["words"])


def test_hal_builds_its_vocabulary_from_clean_captions(ids, captions):
    assert list(Vocabulary.build(captions, 4, "bytes-repr").word2idx) == list(ids["words"])


@pytest.mark.parametrize(("reader", "tokeniser"), [("vsepp", "ascii-lower"), ("lseh", "punkt"), ("hal", "bytes-repr")])
def test_token_ids_are_those_of_the_published_reader(ids, captions, reader, tokeniser):
    encoded = encode(captions, Vocabulary([str(word) for word in ids["words"]], tokeniser))
    np.testing.assert_array_equal(encoded.values, ids[f"{reader}.token_ids_flat"])
    np.testing.assert_array_equal(encoded.lengths, ids[f"{reader}.token_lengths"])


@pytest.mark.parametrize(("reader", "tokeniser"), [("vsepp", "ascii-lower"), ("lseh", "punkt"), ("hal", "bytes-repr")])
def test_a_padded_batch_is_the_published_collation_once_sorted(ids, captions, reader, tokeniser):
    encoded = encode(captions, Vocabulary([str(word) for word in ids["words"]], tokeniser))
    padded, lengths = encoded.batch(ids["picked"])
    order = np.argsort(-lengths.numpy(), kind="stable")
    np.testing.assert_array_equal(ids["picked"][order], ids[f"{reader}.collate.ids"])
    np.testing.assert_array_equal(lengths.numpy()[order], ids[f"{reader}.collate.lengths"])
    np.testing.assert_array_equal(padded.numpy()[order], ids[f"{reader}.collate.captions"])


@pytest.mark.parametrize(("name", "size"), [("protocol2_vocab.pkl", 59), ("protocol5_vocab.pkl", 61)])
def test_pickled_vocabularies_of_the_published_code_are_read(name, size):
    vocabulary = Vocabulary.load(GOLDEN / name)
    assert len(vocabulary) == vocabulary.idx == size
    assert [vocabulary(word) for word in ("<pad>", "<start>", "<end>", "no such word")] == [0, 1, 2, 3]
