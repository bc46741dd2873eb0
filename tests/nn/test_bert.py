"""A BERT has the shape of its word pieces, with its weights or random ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vse.errors import InputError
from vse.nn.bert import build_bert
from vse.text.word_pieces import WordPieces


def test_pretrained_weights_are_those_of_the_folder(bert_folder: Path) -> None:
    pieces = WordPieces.find(str(bert_folder))
    first, second = (build_bert(pieces).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_random_weights_have_the_same_shapes(bert_folder: Path) -> None:
    pieces = WordPieces.find(str(bert_folder))
    pretrained, random = build_bert(pieces).state_dict(), build_bert(pieces, pretrained=False).state_dict()
    assert {name: tensor.shape for name, tensor in random.items()} == {n: t.shape for n, t in pretrained.items()}
    embeddings = "embeddings.word_embeddings.weight"
    assert not torch.equal(random[embeddings], pretrained[embeddings])


def test_a_bert_without_weights_is_refused(bert_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_bytes((bert_folder / name).read_bytes())
    with pytest.raises(InputError, match=r"expected a BERT with its model.safetensors$"):
        build_bert(WordPieces.find(str(tmp_path)))
