"""The memory bank: what it draws, remembers, scores and saves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.losses.banks import batch, embeddings, filled
from vse.errors import InputError
from vse.losses import HAL, MemoryBank


def test_exclusion_drops_captions_or_images_of_the_batch():
    images, captions, pairs = batch(4)
    published = filled("captions").scores(images, captions, pairs)
    repaired = filled("images").scores(images, captions, pairs)
    ids = torch.arange(30) * 3
    expected = torch.isin(ids, pairs.caption_ids)
    assert torch.equal(published.images[0] == -torch.inf, expected)
    assert torch.equal(published.captions[-1] == -torch.inf, expected)
    siblings = torch.isin(ids // 5, pairs.image_ids)
    assert torch.equal(repaired.images[0] == -torch.inf, siblings)
    assert siblings.sum() > expected.sum()


def test_an_empty_bank_has_no_scores():
    images, captions, pairs = batch(4)
    assert MemoryBank().scores(images, captions, pairs) is None


def test_bank_scores_are_inner_products():
    images, captions, pairs = batch(3)
    bank = filled()
    scores = bank.scores(images, captions, pairs)
    kept = scores.images[0] > -torch.inf
    torch.testing.assert_close(scores.images[:, kept], images @ bank.captions[kept].T)
    torch.testing.assert_close(scores.captions[:, kept], captions @ bank.images[kept].T)


def test_the_bank_is_kept_in_the_state_dict_bit_by_bit(tmp_path):
    objective = HAL(memory_bank=True)
    objective.bank.remember(embeddings(9, 1), embeddings(9, 2), torch.arange(9) // 5, torch.arange(9))
    torch.save(objective.state_dict(), tmp_path / "state.pt")
    resumed = HAL(memory_bank=True)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for field in ("images", "captions", "image_ids", "caption_ids"):
        assert torch.equal(getattr(resumed.bank, field), getattr(objective.bank, field))
    assert not list(resumed.buffers())  # nothing for DistributedDataParallel to send around


def test_remembering_replaces_and_keeps_no_graph():
    bank = filled()
    grown = embeddings(3, 5).requires_grad_()
    bank.remember(grown, grown * 2, torch.arange(3), torch.arange(3))
    assert len(bank) == 3
    assert not bank.captions.requires_grad


def test_embeddings_of_autocast_are_remembered_in_float32():
    bank = MemoryBank()
    half = embeddings(3, 5).bfloat16()
    bank.remember(half, half, torch.arange(3), torch.arange(3))
    assert bank.images.dtype == torch.float32


def test_drawn_captions_depend_on_seed_epoch_rate_and_size():
    bank = MemoryBank(rate=0.05)
    rows = bank.draw(seed=1, epoch=2, n_captions=1000)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert np.array_equal(rows, MemoryBank(rate=0.05).draw(1, 2, 1000))
    assert len(rows) == len(set(rows.tolist())) == 50
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < 1000
    for other in (bank.draw(2, 2, 1000), bank.draw(1, 3, 1000), MemoryBank(rate=0.06).draw(1, 2, 1000)):
        assert not np.array_equal(rows, other)


def test_every_caption_can_be_drawn():
    drawn = np.concatenate([MemoryBank(rate=0.2).draw(0, epoch, 50) for epoch in range(60)])
    assert set(drawn.tolist()) == set(range(50))
    assert np.array_equal(MemoryBank(rate=1.0).draw(0, 1, 50), np.arange(50))
    assert len(MemoryBank(rate=0.001).draw(0, 1, 50)) == 1


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_rate_out_of_range_is_refused(rate: float):
    with pytest.raises(InputError, match=r"^mb_rate"):
        MemoryBank(rate=rate)
