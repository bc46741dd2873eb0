"""Caption files, tokens, vocabularies, token ids and their cache."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vse.text.captions
import vse.text.tokens
from tests.conftest import CAPTIONS
from vse.errors import InputError
from vse.text.captions import encode, read_captions, token_ids
from vse.text.tokens import _LOWER, TOKENISERS, _sentences, _split, tokenise
from vse.text.vocabulary import SPECIAL_WORDS, Vocabulary


def vocabulary(tokeniser: str = "punkt") -> Vocabulary:
    return Vocabulary.build(CAPTIONS, 1, tokeniser)


# Caption files


@pytest.mark.parametrize(
    ("content", "captions"),
    [
        (b"a dog\na cat\n", ["a dog", "a cat"]),
        (b"a dog\na cat", ["a dog", "a cat"]),
        (b"\xef\xbb\xbfa dog\r\na cat\r\n", ["a dog", "a cat"]),
        (b"  a dog\t \n\n \na cat\n\n", ["a dog", "", "", "a cat", ""]),
        (b"\n", [""]),
        ("a\u2028b\x0bc\x0cd\x85e\rf\n".encode(), ["a\u2028b\x0bc\x0cd\x85e\rf"]),
        ("\u00a0a dog\u00a0\n".encode(), ["\u00a0a dog\u00a0"]),
    ],
)
def test_only_newlines_separate_captions_and_only_ascii_blanks_are_stripped(tmp_path, content, captions):
    path = tmp_path / "caps.txt"
    path.write_bytes(content)
    assert read_captions(path) == captions


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a dog\na c\xe9t\n", ["line 2", "0xe9", "UTF-8"]),
        (b"\xef\xbb\xbfa\n\nb\0\n", ["line 3", "NUL"]),
        ("a dog\n".encode("utf-16"), ["line 1"]),
        (b"", ["empty"]),
        (b"\xef\xbb\xbf", ["empty"]),
    ],
)
def test_a_damaged_caption_file_is_refused_with_its_line(tmp_path, content, words):
    path = tmp_path / "caps.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_captions(path)
    message = str(refusal.value)
    assert all(word in message for word in [str(path), *words])
    assert "\n" not in message


def test_a_missing_caption_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_captions(path)


# Tokens


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
def test_long_captions_of_nothing_but_marks_take_no_longer_than_words(caption):
    started = time.process_time()
    assert "".join(tokenise(caption)) == caption.replace(" ", "")
    assert time.process_time() - started < 1


# Vocabularies


def test_a_vocabulary_holds_frequent_words_in_order_of_first_occurrence():
    words = Vocabulary.build(["b a b", "A b c", "c a"], 3)
    assert list(words.word2idx) == [*SPECIAL_WORDS, "b", "a"]
    assert words.idx2word == {index: word for word, index in words.word2idx.items()}
    assert (words("a"), words("c"), len(words), words.idx) == (5, 3, 6, 6)


def test_a_saved_vocabulary_has_the_fields_form_and_comes_back(tmp_path):
    words = Vocabulary.build(["École dog 🐕"], 1, "ascii-lower")
    words.save(tmp_path / "vocab.json")
    content = json.loads((tmp_path / "vocab.json").read_bytes())
    assert content["word2idx"] == words.word2idx
    assert content["idx2word"] == {str(index): word for index, word in words.idx2word.items()}
    assert content["idx"] == len(words)
    again = Vocabulary.load(tmp_path / "vocab.json", "ascii-lower")
    assert again.to_state() == words.to_state()
    assert again.digest == words.digest
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.json"]


def test_a_vocabulary_of_another_tokeniser_is_refused(tmp_path):
    vocabulary("punkt").save(tmp_path / "vocab.json")
    with pytest.raises(InputError, match=r"vocab\.json.*'punkt'.*'bytes-repr'"):
        Vocabulary.load(tmp_path / "vocab.json", "bytes-repr")


def test_a_published_vocabulary_goes_with_any_tokeniser(tmp_path):
    path = tmp_path / "f30k_precomp_vocab.json"
    vocabulary().save(path)
    content = json.loads(path.read_bytes())
    del content["tokeniser"]
    path.write_text(json.dumps(content))
    assert [Vocabulary.load(path, tokeniser).tokeniser for tokeniser in TOKENISERS] == list(TOKENISERS)
    assert Vocabulary.load(path).tokeniser == "punkt"


def test_a_vocabulary_goes_through_a_checkpoint_as_plain_values():
    words = vocabulary("ascii-lower")
    state = json.loads(json.dumps(words.to_state()))
    assert Vocabulary.from_state(state).digest == words.digest
    assert words.digest != vocabulary("bytes-repr").digest
    for damaged in ({}, {"words": [1, 2]}, {"words": ["dog"], "tokeniser": "punkt"}, {**state, "tokeniser": "spaces"}):
        with pytest.raises(InputError):
            Vocabulary.from_state(damaged)


def changed(**changes: object) -> bytes:
    words = [*SPECIAL_WORDS, "dog"]
    content = {"word2idx": {word: index for index, word in enumerate(words)}, "idx": 5}
    content |= {"idx2word": {str(index): word for index, word in enumerate(words)}}
    return json.dumps({**content, **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[1, 2]",
        b"\xff\xfe{}",
        b'{"word2idx": {}',
        changed()[:-10],
        changed(word2idx=[]),
        changed(word2idx={"<pad>": "0"}),
        changed(idx=4),
        changed(idx="5"),
        changed(idx2word={"0": "dog"}),
        changed(word2idx={"dog": 0, "<pad>": 1, "<start>": 2, "<end>": 3, "<unk>": 4}),
        changed(tokeniser=7),
    ],
)
def test_a_malformed_vocabulary_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "vocab.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        Vocabulary.load(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_words_of_a_vocabulary_must_be_distinct_and_begin_with_the_special_ones():
    with pytest.raises(InputError, match="twice"):
        Vocabulary([*SPECIAL_WORDS, "dog", "dog"])
    with pytest.raises(InputError, match="<pad>"):
        Vocabulary(["dog", *SPECIAL_WORDS])


# Published pickles, written out as Python 2 wrote them

ITEMS = [*SPECIAL_WORDS, "dog"]
PROTOCOL_0 = (
    "ccopy_reg\n_reconstructor\n(cMODULE\nVocabulary\nc__builtin__\nobject\nNtR(dS'idx'\nI5\nsS'word2idx'\n(d"
    + "".join(f"S'{word}'\nI{index}\ns" for index, word in enumerate(ITEMS))
    + "sS'idx2word'\n(d"
    + "".join(f"I{index}\nV{word}\ns" for index, word in enumerate(ITEMS))
    + "sb."
)
OLD_STYLE_CLASS = PROTOCOL_0.replace(
    "ccopy_reg\n_reconstructor\n(cMODULE\nVocabulary\nc__builtin__\nobject\nNtR", "(iMODULE\nVocabulary\n"
)


@pytest.mark.parametrize("module", ["__main__", "vocab"])
@pytest.mark.parametrize("form", [PROTOCOL_0, OLD_STYLE_CLASS])
def test_pickles_that_python_2_wrote_are_read(tmp_path, module, form):
    path = tmp_path / "vocab.pkl"
    path.write_bytes(form.replace("MODULE", module).encode())
    assert list(Vocabulary.load(path).word2idx) == ITEMS


class Calls:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call  # type: ignore[return-value]


def test_nothing_that_a_pickle_asks_for_is_executed(tmp_path):
    proof = tmp_path / "executed"
    path = tmp_path / "vocab.pkl"
    contents = [pickle.dumps(Calls(Path.touch, proof), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    contents += [pickle.dumps(Calls(eval, f"open({str(proof)!r}, 'w')"), 2)]
    contents += [f"cos\nsystem\n(S'touch {proof}'\ntR.".encode(), b"c__main__\nPath.touch\n."]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"vocab\.pkl.*asks for"):
            Vocabulary.load(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        PROTOCOL_0.replace("MODULE", "__main__").encode()[:-40],
        pickle.dumps({"word2idx": {}}),
        pickle.dumps([1, 2, 3]),
        PROTOCOL_0.replace("MODULE", "somewhere").encode(),
        PROTOCOL_0.replace("MODULE", "__main__").replace("I4\n", "I9\n").encode(),
    ],
)
def test_a_damaged_pickle_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "vocab.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        Vocabulary.load(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


# Token ids


def test_empty_and_unknown_captions_have_ids():
    words = Vocabulary.build(["red dog"], 1)
    ids = encode(["", "   ", "qwertz uiop", "Red DOG"], words)
    assert [ids[index].tolist() for index in range(len(ids))] == [[1, 2], [1, 2], [1, 3, 3, 2], [1, 4, 5, 2]]
    assert ids.ids.dtype == np.int32
    assert ids.offsets.dtype == np.int64
    assert words.decode(ids[3]) == "red dog"


def test_a_batch_holds_the_captions_asked_for_padded_with_zeros():
    ids = encode(CAPTIONS, vocabulary())
    chosen = np.array([4, 2, 1, 1, 0])
    padded, lengths = ids.batch(chosen)
    assert lengths.tolist() == [len(ids[index]) for index in chosen]
    assert padded.shape == (5, lengths.max())
    for row, index in zip(padded.tolist(), chosen, strict=True):
        assert row == ids[index].tolist() + [0] * (padded.shape[1] - len(ids[index]))
    assert ids.batch(np.array([2]))[0].tolist() == [[1, 2]]


def test_cached_ids_are_used_until_captions_vocabulary_or_tokeniser_change(tmp_path, caption_file, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    first = token_ids(caption_file, vocabulary(), cache)
    calls = []
    monkeypatch.setattr(vse.text.captions, "encode", lambda *arguments: calls.append(1) or encode(*arguments))
    again = token_ids(caption_file, vocabulary(), cache)
    assert calls == []
    np.testing.assert_array_equal(first.ids, again.ids)
    np.testing.assert_array_equal(first.offsets, again.offsets)
    token_ids(caption_file, vocabulary("ascii-lower"), cache)
    token_ids(caption_file, Vocabulary.build(CAPTIONS, 2), cache)
    caption_file.write_text("a new caption\n")
    assert len(token_ids(caption_file, vocabulary(), cache)) == 1
    assert len(calls) == 3


def test_a_damaged_cache_is_made_anew(tmp_path, caption_file):
    expected = token_ids(caption_file, vocabulary(), tmp_path)
    (cached,) = tmp_path.glob("*.npz")
    whole = cached.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 255
    for damage in (b"", whole[:100], bytes(flipped), b"nonsense"):
        cached.write_bytes(damage)
        np.testing.assert_array_equal(token_ids(caption_file, vocabulary(), tmp_path).ids, expected.ids)
        assert len(cached.read_bytes()) == len(whole)


def test_ids_that_do_not_fit_the_vocabulary_are_not_trusted(tmp_path, caption_file):
    expected = token_ids(caption_file, vocabulary(), tmp_path)
    (cached,) = tmp_path.glob("*.npz")
    with np.load(cached) as file:
        arrays = dict(file)
    for name, values in (("ids", arrays["ids"] + 99), ("offsets", arrays["offsets"][:-1]), ("key", np.array("other"))):
        np.savez(cached, **{**arrays, name: values})
        np.testing.assert_array_equal(token_ids(caption_file, vocabulary(), tmp_path).ids, expected.ids)


def test_without_a_writable_folder_there_is_no_cache(tmp_path, caption_file):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    expected = encode(CAPTIONS, vocabulary())
    for folder in (None, blocked, tmp_path / "missing"):
        np.testing.assert_array_equal(token_ids(caption_file, vocabulary(), folder).ids, expected.ids)


def test_cached_captions_with_invalid_bytes_are_refused_too(tmp_path, caption_file):
    token_ids(caption_file, vocabulary(), tmp_path)
    caption_file.write_bytes(caption_file.read_bytes() + b"\xff\n")
    with pytest.raises(InputError, match="line 6"):
        token_ids(caption_file, vocabulary(), tmp_path)
