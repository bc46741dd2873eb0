"""Captions as token ids, their batches and their cache."""

from __future__ import annotations

import numpy as np
import pytest

import vse.text.token_ids
from tests.conftest import CAPTIONS
from vse.errors import InputError
from vse.text.token_ids import MAX_WORDS, encode, kept_ids, report_unknown, token_ids, unknown_share
from vse.text.vocabulary import Vocabulary


def vocabulary(tokeniser: str = "punkt") -> Vocabulary:
    return Vocabulary.build(CAPTIONS, 1, tokeniser)


def test_empty_and_unknown_captions_have_ids():
    words = Vocabulary.build(["red dog"], 1)
    ids = encode(["", "   ", "qwertz uiop", "Red DOG"], words)
    assert [ids[index].tolist() for index in range(len(ids))] == [[1, 2], [1, 2], [1, 3, 3, 2], [1, 4, 5, 2]]
    assert ids.values.dtype == np.int32
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


def test_padding_is_the_vocabularys_pad():
    ids = encode(["dog", "dog dog"], Vocabulary(["dog", "<unk>", "<end>", "<pad>", "<start>"]))
    assert ids.batch(np.array([0, 1]))[0].tolist() == [[4, 0, 2, 3], [4, 0, 0, 2]]


def test_kept_ids_are_used_until_captions_or_vocabulary_change(tmp_path, monkeypatch):
    cache = tmp_path / "train_caps"
    first = token_ids(CAPTIONS, vocabulary(), cache)
    calls = []
    monkeypatch.setattr(vse.text.token_ids, "encode", lambda *arguments: calls.append(1) or encode(*arguments))
    again = token_ids(CAPTIONS, vocabulary(), cache)
    assert calls == []
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.offsets, again.offsets)
    token_ids(CAPTIONS, vocabulary("ascii-lower"), cache)
    token_ids(CAPTIONS, Vocabulary.build(CAPTIONS, 2), cache)
    assert len(token_ids(["a new caption"], vocabulary(), cache)) == 1
    assert len(calls) == 3


def test_a_damaged_cache_is_made_anew(tmp_path):
    cache = tmp_path / "train_caps"
    expected = token_ids(CAPTIONS, vocabulary(), cache)
    (cached,) = tmp_path.glob("*.npz")
    whole = cached.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 255
    for damage in (b"", whole[:100], bytes(flipped), b"nonsense"):
        cached.write_bytes(damage)
        np.testing.assert_array_equal(token_ids(CAPTIONS, vocabulary(), cache).values, expected.values)
        assert len(cached.read_bytes()) == len(whole)


def test_ids_that_do_not_fit_the_vocabulary_are_not_trusted(tmp_path):
    cache = tmp_path / "train_caps"
    expected = token_ids(CAPTIONS, vocabulary(), cache)
    (cached,) = tmp_path.glob("*.npz")
    with np.load(cached) as file:
        arrays = dict(file)
    for name, values in (("ids", arrays["ids"] + 99), ("offsets", arrays["offsets"][:-1]), ("key", np.array("other"))):
        np.savez(cached, **{**arrays, name: values})
        np.testing.assert_array_equal(token_ids(CAPTIONS, vocabulary(), cache).values, expected.values)


def test_without_a_writable_folder_nothing_is_kept(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    expected = encode(CAPTIONS, vocabulary())
    for cache in (None, blocked / "train_caps", tmp_path / "missing" / "train_caps"):
        np.testing.assert_array_equal(token_ids(CAPTIONS, vocabulary(), cache).values, expected.values)


def test_the_share_of_unknown_words_is_printed(capsys):
    words = Vocabulary.build(["red dog"], 1)
    tokens = encode(["red dog", "", "red qwertz"], words)
    assert unknown_share(tokens, words.unknown) == 0.25
    report_unknown(tokens, words.unknown, "dev_caps.txt")
    assert capsys.readouterr().out == "dev_caps.txt: 25.0% unknown words\n"


def test_mostly_unknown_words_are_refused_with_the_likely_cause():
    words = Vocabulary.build(["red dog"], 1)
    with pytest.raises(InputError, match=r"dev_caps\.txt: 67% .* unknown .* other captions .* blanks"):
        report_unknown(encode(["red 一个男人 两只狗"], words), words.unknown, "dev_caps.txt")


def test_a_caption_of_ten_thousand_words_is_refused(tmp_path):
    words = Vocabulary.build(["a dog"], 1)
    assert kept_ids(["dog " * MAX_WORDS], tmp_path / "captions.txt", words).lengths.tolist() == [MAX_WORDS + 2]
    with pytest.raises(
        InputError, match=r"captions\.txt: caption 1, counted from 0, has 10000 words; expected at most"
    ):
        kept_ids(["a dog", "dog " * 10_000], tmp_path / "captions.txt", words)


def test_longer_captions_can_be_allowed(tmp_path):
    words = Vocabulary.build(["a dog"], 1)
    source = tmp_path / "captions.txt"
    assert kept_ids(["dog " * 10_000], source, words, max_words=10_000).lengths.tolist() == [10_002]
    with pytest.raises(InputError, match=r"has 3 words; expected at most 2, .*--max_words"):
        kept_ids(["a dog", "a dog dog"], source, words, max_words=2)
