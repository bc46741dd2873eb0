"""Vocabularies of the original code and of related projects are read, whatever they are written in; nothing runs."""

from __future__ import annotations

import json
import pickle
import time
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import pytest

from vse.errors import InputError
from vse.text.vocabulary import SPECIAL_WORDS, Vocabulary

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


@pytest.mark.parametrize("module", ["__main__", "vocab", "lib.vocab"])
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


FIELDS = {"word2idx": {word: index for index, word in enumerate(ITEMS)}, "idx2word": dict(enumerate(ITEMS)), "idx": 5}
WORDS = FIELDS["word2idx"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "content",
    [
        FIELDS,
        WORDS,
        OrderedDict(WORDS),
        {"word2idx": OrderedDict(WORDS), "idx2word": ITEMS, "counts": Counter(WORDS)},
        {"word2idx": defaultdict(int, WORDS), "idx": 5},
    ],
)
def test_pickled_dicts_are_vocabularies_too(tmp_path, content, protocol):
    path = tmp_path / "vocab.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    assert list(Vocabulary.load(path).word2idx) == ITEMS


@pytest.mark.parametrize("specials", [("<pad>", "<unk>", "<start>", "<end>"), ("<UNK>", "</s>", "<PAD>", "<s>")])
def test_other_orders_of_special_words_keep_the_files_ids(tmp_path, specials):
    words = [specials[0], "dog", *specials[1:], "cat"]
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"word2idx": {word: index for index, word in enumerate(words)}, "max_len": None}))
    vocabulary = Vocabulary.load(path)
    assert (vocabulary("dog"), vocabulary("cat")) == (1, 5)
    roles = {"<pad>": vocabulary.pad, "<unk>": vocabulary.unknown, "<s>": vocabulary.start, "</s>": vocabulary.end}
    roles |= {"<start>": vocabulary.start, "<end>": vocabulary.end}
    assert all(roles[word.lower()] == words.index(word) for word in specials)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        PROTOCOL_0.replace("MODULE", "__main__").encode()[:-40],
        pickle.dumps({"word2idx": {}}),
        pickle.dumps([1, 2, 3]),
        pickle.dumps({"word2idx": {("a", "tuple"): 0}}),
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


def repeated_call(entries: int) -> bytes:
    """A pickle that builds a dict of many entries again and again from one list that it stores once."""
    pairs = b"(" + b"K\x01K\x02\x86" * entries + b"e"
    dicts = b"h\x01h\x00\x85R0" * entries
    return b"\x80\x02]" + pairs + b"q\x00ccollections\nOrderedDict\nq\x01" + dicts + b"}."


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
        repeated_call(50_000),
        pickle.dumps({"word2idx": {number * (2**61 - 1): number for number in range(1, 500)}}),
    ],
)
def test_a_pickle_costs_no_more_than_its_size(tmp_path, content):
    path = tmp_path / "vocab.pkl"
    path.write_bytes(content)
    started = time.process_time()
    with pytest.raises(InputError, match="vocab"):
        Vocabulary.load(path)
    assert time.process_time() - started < 5


def test_a_file_too_large_for_a_vocabulary_is_not_read(tmp_path):
    path = tmp_path / "vocab.json"
    with path.open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(InputError, match="134 MB is no vocabulary"):
        Vocabulary.load(path)
