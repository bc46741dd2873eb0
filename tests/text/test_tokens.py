"""From captions to tokens."""

from __future__ import annotations

import importlib
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vse.text.tokens
from vse.text.tokens import _LOWER, TOKENISERS, _sentences, _split, tokenise


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("", []),
        ("A dog , a cat .", ["a", "dog", ",", "a", "cat", "."]),
        ("Mr. Hill waits in the U.S. today.", ["mr.", "hill", "waits", "in", "the", "u.s.", "today", "."]),
        ("A dog runs. It's 3.5 feet tall!", ["a", "dog", "runs", ".", "it", "'s", "3.5", "feet", "tall", "!"]),
        ('It isn\'t a "cat".', ["it", "is", "n't", "a", "``", "cat", "''", "."]),
        ("They cannot... stop", ["they", "can", "not", "...", "stop"]),
        ("a sign that says 'no way'", ["a", "sign", "that", "says", "'", "no", "way", "'"]),
        ("École cafés", ["école", "cafés"]),
    ],
)
def test_tokens_are_sentences_split_into_treebank_words(caption, tokens):
    assert tokenise(caption) == tokens


def test_the_variants_lower_letters_as_the_published_readers_do():
    assert tokenise("École A") == ["école", "a"]
    assert tokenise("École A", "ascii-lower") == ["École", "a"]
    assert tokenise("École A.", "bytes-repr") == ["b'\\xc3\\x89cole", "a", ".", "'"]


PIECES = [*"abst019 .,'\"`?!-()[]{}<>:;&$%#@*/", "   ", "''", "``", "--", "...", "'s", "n't", "'ll", "cannot", "gonna"]
PIECES += [
    "wanna",
    "d'ye",
    "'tis",
    "u.s.",
    "mr.",
    "3.5",
    "10.",
    "i.",
    "é",
    "É",
    "“",
    "”",
    "’",
    "»",
    "—",
    "\u00a0",
    "\t",
]
PIECES += ["ℂ", "administrators", " z-holiday", "smith", "re", " he ", "\x1c", "\u00ad"]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.sampled_from(TOKENISERS))
def test_splitting_chunk_by_chunk_changes_no_token(caption, tokeniser):
    text = _LOWER[tokeniser](caption).rstrip()
    assert tokenise(caption, tokeniser) == [token for sentence in _sentences(text) for token in _split(sentence)]


def test_tokens_need_neither_nltk_nor_its_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    module = importlib.reload(vse.text.tokens)
    assert module.tokenise("Dr. Who waits. He sits.") == ["dr.", "who", "waits", ".", "he", "sits", "."]


@pytest.mark.parametrize(
    "caption", ["a. " * 3000, "." * 10000, "?" * 10000, "'" * 10000, ".)" * 5000 + "x", "can't " * 2000]
)
def test_long_captions_of_marks_take_no_longer_than_words(caption):
    started = time.process_time()
    assert "".join(tokenise(caption)) == caption.replace(" ", "")
    assert time.process_time() - started < 1
