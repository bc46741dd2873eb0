"""Vocabularies: built, saved, read back, and what is refused."""

from __future__ import annotations

import json

import pytest

from tests.conftest import CAPTIONS
from vse.errors import InputError
from vse.text.tokens import TOKENISERS
from vse.text.vocabulary import SPECIAL_WORDS, Vocabulary


def vocabulary(tokeniser: str = "punkt") -> Vocabulary:
    return Vocabulary.build(CAPTIONS, 1, tokeniser)


def test_words_are_kept_in_order_of_first_occurrence():
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
        changed(idx=10**15),
        changed(idx2word=["dog"]),
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


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([*SPECIAL_WORDS, "dog", "dog"], "twice"),
        (["dog", *SPECIAL_WORDS[1:]], "without <pad>"),
        (SPECIAL_WORDS, "without any word but"),
    ],
)
def test_words_must_be_distinct_and_more_than_special_ones(words, complaint):
    with pytest.raises(InputError, match=complaint):
        Vocabulary(words)


def test_special_words_may_have_any_ids():
    words = Vocabulary(["dog", "<unk>", "<end>", "<pad>", "<start>"])
    assert (words.pad, words.start, words.end, words.unknown) == (3, 4, 2, 1)
    assert words("cat") == 1
    assert words.decode([4, 0, 1, 2, 3]) == "dog <unk>"
    assert Vocabulary.from_state(words.to_state()).start == 4


def test_captions_without_repeated_words_make_no_vocabulary():
    with pytest.raises(InputError, match="none of the 3 words of the captions occurs 2 times"):
        Vocabulary.build(["一个男人在公园里", "两只狗 run"], 2)


def test_a_saved_vocabulary_tells_what_it_was_made_from(tmp_path):
    words = Vocabulary.build(["red dog"] * 2, 2)
    words.made_from = {"train_caps.txt": "0" * 64}
    words.save(tmp_path / "vocab.json")
    again = Vocabulary.load(tmp_path / "vocab.json")
    assert (again.made_from, again.threshold) == ({"train_caps.txt": "0" * 64}, 2)
    assert again.digest == words.digest
