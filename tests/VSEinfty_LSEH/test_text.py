"""Word augmentation and BERT's word pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig

from vse.errors import InputError
from vse.text.captions import TokenIds
from VSEinfty_LSEH import small_bert
from VSEinfty_LSEH.text import AugmentedCaptions
from VSEinfty_LSEH.wordpieces import WordPieces


def captions_of(words: list[list[int]], keep_ends: bool, mask: int = 98, vocabulary: int = 1000) -> AugmentedCaptions:
    """Captions whose words have so many pieces each; piece ids count up from 1000, so that their origin shows."""
    counts = [sum(caption) for caption in words]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    begins = np.concatenate([[*([True] + [False] * (pieces - 1))] for caption in words for pieces in caption])
    return AugmentedCaptions(TokenIds(1000 + np.arange(offsets[-1]), offsets), begins, mask, vocabulary, keep_ends)


def test_without_a_generator_captions_stay_as_they_are() -> None:
    captions = captions_of([[1, 2, 1], [1, 1]], keep_ends=True)
    ids, lengths = captions.batch(np.array([1, 0]))
    assert ids.tolist() == [[1004, 1005, 0, 0], [1000, 1001, 1002, 1003]]
    assert lengths.tolist() == [2, 4]


def test_shares_of_masked_replaced_and_dropped_words() -> None:
    captions = captions_of([[1] * 20] * 3000, keep_ends=False)
    ids, lengths = captions.batch(np.arange(3000), np.random.default_rng(0))
    total = 60000
    assert 1 - lengths.sum().item() / total == pytest.approx(0.08, abs=0.005)
    assert (ids == 98).sum().item() / total == pytest.approx(0.10, abs=0.005)
    replaced = ids[(ids > 0) & (ids < 1000) & (ids != 98)]
    assert len(replaced) / total == pytest.approx(0.02, abs=0.002)
    assert replaced.float().mean() == pytest.approx(500, abs=40)


def test_the_pieces_of_a_word_share_its_fate_but_not_their_replacement() -> None:
    captions = captions_of([[1, *[3] * 40, 1]] * 200, keep_ends=True)
    ids, lengths = captions.batch(np.arange(200), np.random.default_rng(1))
    different = 0
    for row, length in zip(ids, lengths, strict=True):
        pieces = row[1 : length - 1].view(-1, 3)
        masked, kept = pieces == 98, pieces >= 1000
        assert torch.equal(masked.any(dim=1), masked.all(dim=1))
        assert torch.equal(kept.any(dim=1), kept.all(dim=1))
        replaced = pieces[~masked.any(dim=1) & ~kept.any(dim=1)]
        different += sum(len(set(word.tolist())) > 1 for word in replaced)
    assert different > 100


def test_what_is_kept_keeps_its_order() -> None:
    captions = captions_of([[1] * 30] * 50, keep_ends=False)
    ids, lengths = captions.batch(np.arange(50), np.random.default_rng(2))
    for row, length in zip(ids, lengths, strict=True):
        kept = row[:length][row[:length] >= 1000]
        assert (kept.diff() > 0).all()
        assert not row[length:].any()


def test_the_ends_of_a_caption_are_kept_if_asked() -> None:
    for ends, expected in ((True, 1.0), (False, 0.8)):
        captions = captions_of([[1] * 6] * 2000, keep_ends=ends)
        ids, _ = captions.batch(np.arange(2000), np.random.default_rng(3))
        starts = 1000 + 6 * torch.arange(2000)
        assert (ids[:, 0] == starts).float().mean() == pytest.approx(expected, abs=0.03)


def test_a_caption_never_becomes_empty() -> None:
    captions = captions_of([[1]] * 3000, keep_ends=False)
    ids, lengths = captions.batch(np.arange(3000), np.random.default_rng(4))
    assert (lengths == 1).all()
    assert (ids > 0).float().mean() > 0.99


def test_a_batch_depends_on_the_generator_alone() -> None:
    captions = captions_of([[1, 2, 1, 1]] * 40, keep_ends=True)
    chosen = np.arange(0, 40, 3)
    first, second, other = (captions.batch(chosen, np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert first.shape != other.shape or not torch.equal(first, other)


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory) -> Path:
    """A BERT of the smallest kind, with the words of a few captions."""
    folder = tmp_path_factory.mktemp("data")
    captions = ["A dog is playing in the park.", "two dogs play", "a café near the river", "parking"] * 5
    (folder / "train_caps.txt").write_text("\n".join(captions))
    small_bert.main(
        small_bert.Options(
            data_path=str(folder), output=str(folder / "bert"), pieces=60, hidden_size=8, layers=1, heads=2
        )
    )
    return folder / "bert"


def test_word_pieces_of_a_folder(bert_folder: Path) -> None:
    pieces = WordPieces.find(str(bert_folder))
    tokens, begins = pieces.encode(["A Café, playing!", "", "xyz 中"])
    names = pieces.tokenizer.id_to_token
    first = [names(piece) for piece in tokens[0]]
    assert first[0] == "[CLS]"
    assert first[-1] == "[SEP]"
    words = "".join(first[1:-1]).replace("##", "")
    assert words == "acafe[UNK]playing[UNK]"
    assert [names(piece) for piece in tokens[1]] == ["[CLS]", "[SEP]"]
    starts = [begins[tokens.offsets[caption] : tokens.offsets[caption + 1]] for caption in range(3)]
    assert all(name.startswith("##") != start for name, start in zip(first, starts[0], strict=True))
    assert starts[1].all()


def test_a_checkpoints_word_pieces_are_those_of_the_folder(bert_folder: Path) -> None:
    pieces = WordPieces.find(str(bert_folder))
    restored = WordPieces(**{"tokenizer": pieces.to_state()["tokenizer"], "shape": pieces.to_state()["shape"]})
    text = ["two dogs in a café"]
    assert np.array_equal(restored.encode(text)[0].ids, pieces.encode(text)[0].ids)
    assert len(restored) == len(pieces)
    assert restored.shape == pieces.shape


def test_captions_longer_than_bert_can_read_are_cut(bert_folder: Path) -> None:
    pieces = WordPieces.find(str(bert_folder))
    pieces.shape["max_position_embeddings"] = 5
    tokens, begins = pieces.encode(["a dog a dog a dog", "a"])
    assert tokens.lengths.tolist() == [5, 3]
    assert tokens[0][-1] == pieces.end
    assert len(begins) == 8


def test_ids_are_cached_beside_the_captions_and_a_damaged_cache_is_made_anew(bert_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "train_caps.txt"
    file.write_text("a dog\nthe park\n")
    pieces = WordPieces.find(str(bert_folder))
    first = pieces.captions(file)
    [cache] = tmp_path.glob("*.npz")

    def refuse(captions: object) -> None:
        raise AssertionError(captions)

    pieces.encode = refuse  # type: ignore[assignment, method-assign]
    assert np.array_equal(pieces.captions(file).tokens.ids, first.tokens.ids)
    assert np.array_equal(pieces.captions(file).begins, first.begins)
    cache.write_bytes(cache.read_bytes()[:50])
    with pytest.raises(AssertionError):
        pieces.captions(file)
    file.write_text("a dog\nanother park\n")
    with pytest.raises(AssertionError):
        pieces.captions(file)


def test_bert_has_its_weights_or_fresh_ones_of_the_same_shape(bert_folder: Path) -> None:
    pieces = WordPieces.find(str(bert_folder))
    first, second = (pieces.bert().state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    fresh = pieces.bert(pretrained=False).state_dict()
    assert {name: tensor.shape for name, tensor in fresh.items()} == {n: t.shape for n, t in first.items()}
    assert not torch.equal(fresh["embeddings.word_embeddings.weight"], first["embeddings.word_embeddings.weight"])


def test_a_small_bert_follows_its_seed(bert_folder: Path) -> None:
    config = BertConfig.from_pretrained(bert_folder)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (8, 1, 2)
    words = (bert_folder / "vocab.txt").read_text("utf-8").splitlines()
    small_bert.main(
        small_bert.Options(
            data_path=str(bert_folder.parent),
            output=str(bert_folder.parent / "again"),
            pieces=60,
            hidden_size=8,
            layers=1,
            heads=2,
        )
    )
    again = bert_folder.parent / "again"
    assert (again / "vocab.txt").read_text("utf-8").splitlines() == words
    assert (again / "model.safetensors").read_bytes() == (bert_folder / "model.safetensors").read_bytes()


def test_a_bert_that_is_nowhere_is_one_sentence_with_the_flag_and_the_alternative(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", _unreachable)
    with pytest.raises(InputError, match=r"^--bert no/such-bert: .*--text_encoder bigru$") as problem:
        WordPieces.find("no/such-bert")
    assert "\n" not in str(problem.value)


def _unreachable(*_arguments: object, **_options: object) -> None:
    raise OSError("no network")


def test_a_folder_that_holds_no_bert_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--bert .*expected a BERT with its vocab.txt$") as problem:
        WordPieces.find(str(tmp_path))
    assert "\n" not in str(problem.value)


def test_a_bert_without_weights_is_one_sentence(bert_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_bytes((bert_folder / name).read_bytes())
    pieces = WordPieces.find(str(tmp_path))
    with pytest.raises(InputError, match=r"expected a BERT with its model.safetensors$"):
        pieces.bert()
