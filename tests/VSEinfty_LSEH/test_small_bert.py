"""A small BERT is made of a data set's captions."""

from __future__ import annotations

from pathlib import Path

from transformers import BertConfig

from VSEinfty_LSEH import small_bert


def test_a_small_bert_has_the_size_asked_for(bert_folder: Path) -> None:
    config = BertConfig.from_pretrained(bert_folder)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (8, 1, 2)
    assert len((bert_folder / "vocab.txt").read_text("utf-8").splitlines()) == config.vocab_size


def test_a_small_bert_follows_its_seed(bert_folder: Path, tmp_path: Path) -> None:
    size = {"pieces": 60, "hidden_size": 8, "layers": 1, "heads": 2}
    small_bert.main(small_bert.Options(data_path=str(bert_folder.parent), output=str(tmp_path), **size))
    for file in ("vocab.txt", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (bert_folder / file).read_bytes()
