"""Words are masked, replaced and dropped, all pieces of a word together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vse.text.augmented import AugmentedCaptions, MaskedWords
from vse.text.token_ids import TokenIds
from vse.text.vocabulary import Vocabulary


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


def test_the_pieces_of_a_word_are_masked_together() -> None:
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


def test_the_mask_is_the_last_id_of_a_vocabulary(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build(["a dog", "a cat sleeps"], 1)
    words = MaskedWords(vocabulary)
    captions = words.captions(["a dog", "a cat sleeps"], tmp_path / "train_caps.txt")
    assert len(words) == len(vocabulary) + 1
    assert captions.mask == len(vocabulary)
    assert captions.begins.all()
    assert captions.batch(np.array([1, 0]))[1].tolist() == [5, 4]
    assert not list(tmp_path.glob("*.npz"))
