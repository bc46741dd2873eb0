"""Captions become the pieces of a text tower's own tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.errors import InputError
from vse.text.tower_pieces import TowerPieces

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """A CLIP with a byte-level tokenizer of single letters."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(vocab={name: place for place, name in enumerate(names)}, merges=[])
    tokenizer.save_pretrained(tmp_path)
    text = {"vocab_size": len(names), "max_position_embeddings": 9, "hidden_size": 8, "num_attention_heads": 2}
    transformers.CLIPConfig(text_config=text).save_pretrained(tmp_path)
    return tmp_path


def test_a_bert_reads_as_its_own_tokenizer_does(bert_folder: Path) -> None:
    pieces = TowerPieces.find(str(bert_folder))
    caption = "A dog runs"
    expected = transformers.AutoTokenizer.from_pretrained(bert_folder)(caption)["input_ids"]
    tokens, begins = pieces.encode([caption])
    assert tokens[0].tolist() == expected
    assert begins[0]
    assert begins[-1]
    assert pieces.mask is not None


def test_a_clip_reads_as_its_own_tokenizer_does(clip_folder: Path) -> None:
    pieces = TowerPieces.find(str(clip_folder))
    expected = transformers.AutoTokenizer.from_pretrained(clip_folder)("a dog")["input_ids"]
    tokens, begins = pieces.encode(["a dog"])
    assert tokens[0].tolist() == expected
    assert begins.tolist() == [True, True, True, False, False, True]  # start, a, d, o, g, end
    assert pieces.mask is None


def test_captions_are_cut_to_the_towers_positions(clip_folder: Path) -> None:
    tokens, _ = TowerPieces.find(str(clip_folder)).encode(["abcdefghijklmnop"])
    assert tokens.lengths.tolist() == [9]
    assert tokens[0][-1] == tokens.values.max()


def test_positions_of_a_roberta_begin_behind_its_padding(clip_folder: Path) -> None:
    pieces = TowerPieces.find(str(clip_folder))
    pieces.config |= {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    assert pieces.longest == 510


def test_words_without_a_mask_are_dropped(clip_folder: Path, tmp_path: Path) -> None:
    pieces = TowerPieces.find(str(clip_folder))
    captions = pieces.captions(["a b c d e f g"] * 200, tmp_path / "train_caps.txt")
    whole, lengths = captions.batch(np.arange(200))
    changed, shorter = captions.batch(np.arange(200), np.random.default_rng(0))
    lost = 1 - (shorter.sum() - 400) / (lengths.sum() - 400)
    assert 0.13 < lost < 0.23  # 10 % that other tokenizers mask, 8 % dropped
    assert (changed[:, 0] == whole[0, 0]).all()


def test_a_checkpoint_restores_the_pieces(clip_folder: Path) -> None:
    pieces = TowerPieces.find(str(clip_folder))
    state = pieces.to_state()
    restored = TowerPieces(state["tokenizer"], state["config"], state["mask"])
    assert np.array_equal(restored.encode(["two dogs"])[0].values, pieces.encode(["two dogs"])[0].values)
    assert restored.longest == pieces.longest
    assert restored.config["model_type"] == "clip_text_model"


@pytest.mark.parametrize(
    ("tokenizer", "complaint"),
    [(object(), "no tokenizer.json; choose a BERT, CLIP or SigLIP 2"), (None, "expected a text tower")],
)
def test_other_tokenizers_are_refused_in_one_sentence(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: object, complaint: str
) -> None:
    def load(*_: Any) -> object:
        if tokenizer is None:
            raise ImportError("sentencepiece is missing\nmore")
        return tokenizer

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", load)
    with pytest.raises(InputError, match=complaint) as refused:
        TowerPieces.find(str(clip_folder))
    assert "\n" not in str(refused.value)
