"""Captions become the word pieces of a BERT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.errors import InputError
from vse.text.captions import read_captions
from vse.text.word_pieces import WordPieces


@pytest.fixture
def pieces(bert_folder: Path) -> WordPieces:
    return WordPieces.find(str(bert_folder))


def test_words_are_cut_into_pieces_between_cls_and_sep(pieces: WordPieces) -> None:
    tokens, _ = pieces.encode(["A Café, playing!", "", "xyz 中"])
    first = [pieces.tokenizer.id_to_token(piece) for piece in tokens[0]]
    assert (first[0], first[-1]) == ("[CLS]", "[SEP]")
    assert "".join(first[1:-1]).replace("##", "") == "acafe[UNK]playing[UNK]"
    assert [pieces.tokenizer.id_to_token(piece) for piece in tokens[1]] == ["[CLS]", "[SEP]"]


def test_a_word_begins_at_its_first_piece(pieces: WordPieces) -> None:
    tokens, begins = pieces.encode(["a dark dog", ""])
    names = [pieces.tokenizer.id_to_token(piece) for piece in tokens[0]]
    assert [not name.startswith("##") for name in names] == begins[: len(names)].tolist()
    assert not all(begins)
    assert begins[len(names) :].all()


def test_a_checkpoint_restores_the_word_pieces(pieces: WordPieces) -> None:
    state = pieces.to_state()
    restored = WordPieces(state["tokenizer"], state["shape"])
    text = ["two dogs in a café"]
    assert np.array_equal(restored.encode(text)[0].values, pieces.encode(text)[0].values)
    assert len(restored) == len(pieces)
    assert restored.shape == pieces.shape


def test_captions_are_cut_to_what_bert_can_read(pieces: WordPieces) -> None:
    pieces.shape["max_position_embeddings"] = 5
    tokens, begins = pieces.encode(["a dog a dog a dog", "a"])
    assert tokens.lengths.tolist() == [5, 3]
    assert tokens[0][-1] == pieces.closing[0]
    assert len(begins) == 8


@pytest.fixture
def captions_file(tmp_path: Path) -> Path:
    (tmp_path / "train_caps.txt").write_text("a dog\nthe park\n")
    return tmp_path / "train_caps.txt"


def refuse(captions: object) -> None:
    raise AssertionError(captions)


def test_cached_ids_are_those_of_the_captions(bert_folder: Path, captions_file: Path, tmp_path: Path) -> None:
    pieces = WordPieces.find(str(bert_folder), tmp_path)
    first = pieces.captions(read_captions(captions_file), captions_file)
    pieces.encode = refuse  # type: ignore[assignment, method-assign]
    again = pieces.captions(read_captions(captions_file), captions_file)
    assert np.array_equal(again.tokens.values, first.tokens.values)
    assert np.array_equal(again.begins, first.begins)


@pytest.mark.parametrize("change", ["damaged cache", "other captions"])
def test_a_cache_of_other_captions_is_not_read(
    bert_folder: Path, captions_file: Path, tmp_path: Path, change: str
) -> None:
    pieces = WordPieces.find(str(bert_folder), tmp_path)
    pieces.captions(read_captions(captions_file), captions_file)
    [cache] = tmp_path.glob("*.npz")
    if change == "damaged cache":
        cache.write_bytes(cache.read_bytes()[:50])
    else:
        captions_file.write_text("a dog\nanother park\n")
    pieces.encode = refuse  # type: ignore[assignment, method-assign]
    with pytest.raises(AssertionError):
        pieces.captions(read_captions(captions_file), captions_file)


def test_without_a_cache_folder_nothing_is_written(pieces: WordPieces, captions_file: Path) -> None:
    pieces.captions(read_captions(captions_file), captions_file)
    assert [file.name for file in captions_file.parent.iterdir()] == ["train_caps.txt"]


def test_captions_of_unknown_pieces_are_refused(pieces: WordPieces, captions_file: Path) -> None:
    with pytest.raises(InputError, match=r"train_caps\.txt: 100% of the words are unknown"):
        pieces.captions(["一 男 人"], captions_file)


def test_a_folder_without_a_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a BERT with its vocab.txt$") as problem:
        WordPieces.find(str(tmp_path))
    assert "\n" not in str(problem.value)


def test_padding_and_truncation_of_the_file_are_off(pieces: WordPieces) -> None:
    plain = pieces.encode(["a dog in the park", "a"])
    state = pieces.to_state()
    tokenizer = type(pieces.tokenizer).from_str(state["tokenizer"])
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(3)
    padded = WordPieces(tokenizer.to_str(), state["shape"])
    tokens, begins = padded.encode(["a dog in the park", "a"])
    assert np.array_equal(tokens.values, plain[0].values)
    assert np.array_equal(begins, plain[1])
    assert padded.to_state() == state
