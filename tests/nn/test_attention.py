"""Cross attention of blocks equals its definition, one image, one caption, one word at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vse.nn.attention import (
    CACHED_ROWS,
    SMALLEST_BUDGET,
    attention_over_regions,
    attention_over_words,
    caption_blocks,
    default_budget,
    inner_products,
    rows_within,
    word_mask,
)

LENGTHS = torch.tensor([5, 1, 3])


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def words() -> Tensor:
    words = torch.randn(3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return words * word_mask(LENGTHS, 5, words.device)[..., None]


def normalised(values: list[float]) -> list[float]:
    norm = math.sqrt(sum(value**2 for value in values)) + 1e-8
    return [value / norm for value in values]


def softmax(values: list[float]) -> list[float]:
    exponentials = [math.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def rectified(image: Tensor, caption: Tensor) -> list[list[float]]:
    """[R][L] products after the LeakyReLU."""
    return [[max(p, 0.1 * p) for word in caption for p in [float(region @ word)]] for region in image]


def test_attention_over_regions_is_the_original_one(regions: Tensor, words: Tensor) -> None:
    weights = attention_over_regions(inner_products(regions, words), 9.0)
    for i, image in enumerate(regions):
        for c, length in enumerate(LENGTHS.tolist()):
            rows = [normalised(row) for row in rectified(image, words[c, :length])]
            for k in range(length):
                wanted = softmax([9.0 * row[k] for row in rows])
                assert weights[i, c, k].tolist() == pytest.approx(wanted, rel=1e-12)


def test_attention_over_words_is_the_original_one(regions: Tensor, words: Tensor) -> None:
    mask = word_mask(LENGTHS, 5, words.device)
    weights = attention_over_words(inner_products(regions, words), mask, 4.0)
    assert not weights[:, ~mask].any()
    for i, image in enumerate(regions):
        for c, length in enumerate(LENGTHS.tolist()):
            products = rectified(image, words[c, :length])
            columns = [normalised([row[k] for row in products]) for k in range(length)]
            for r in range(len(image)):
                wanted = softmax([4.0 * column[r] for column in columns])
                assert weights[i, c, :length, r].tolist() == pytest.approx(wanted, rel=1e-12)


def test_pairs_attend_as_they_do_in_a_block(regions: Tensor, words: Tensor) -> None:
    block = inner_products(regions, words)
    images, captions = torch.tensor([1, 0, 1]), torch.tensor([0, 2, 1])
    pairs = inner_products(regions[images], words[captions][:, None])
    assert pairs.shape == (3, 1, 5, 4)
    torch.testing.assert_close(pairs[:, 0], block[images, captions])
    mask = word_mask(LENGTHS, 5, words.device)
    torch.testing.assert_close(
        attention_over_words(pairs, mask[captions][:, None], 4.0)[:, 0],
        attention_over_words(block, mask, 4.0)[images, captions],
    )


@pytest.mark.parametrize("over", ["regions", "words"])
def test_attention_has_the_gradient_of_its_definition(over: str, regions: Tensor, words: Tensor) -> None:
    mask = word_mask(LENGTHS, 5, words.device)

    def attend(regions: Tensor, words: Tensor) -> Tensor:
        products = inner_products(regions, words * mask[..., None])
        if over == "regions":
            return attention_over_regions(products, 2.0)
        return attention_over_words(products, mask, 2.0)

    assert torch.autograd.gradcheck(attend, (regions.requires_grad_(), words.requires_grad_()))


def test_an_empty_region_leaves_gradients_finite(regions: Tensor, words: Tensor) -> None:
    regions[0, 2] = 0
    regions.requires_grad_()
    mask = word_mask(LENGTHS, 5, words.device)
    products = inner_products(regions, words)
    seen, read = attention_over_regions(products, 9.0), attention_over_words(products, mask, 9.0)
    (seen[..., 0].sum() + read[..., 0].sum()).backward()
    assert regions.grad is not None
    assert regions.grad.isfinite().all()
    assert regions.grad.abs().max() < 1e3


def test_caption_blocks_hold_each_caption_once_by_length() -> None:
    lengths = torch.randint(1, 30, (200,), generator=torch.Generator().manual_seed(3))
    blocks = list(caption_blocks(lengths, 60))
    assert sorted(torch.cat([block.rows for block in blocks]).tolist()) == list(range(200))
    assert all(int(lengths[block.rows].max()) == block.length for block in blocks)
    assert all(len(block.rows) * block.length <= 60 for block in blocks)
    assert int(sum(len(block.rows) * block.length for block in blocks)) < 1.1 * int(lengths.sum())
    assert [block.length for block in blocks] == sorted((block.length for block in blocks), reverse=True)


def test_a_caption_longer_than_a_block_is_a_block_of_its_own() -> None:
    blocks = list(caption_blocks(torch.tensor([7, 90, 2]), 10))
    assert [(block.rows.tolist(), block.length) for block in blocks] == [([1], 90), ([0], 7), ([2], 2)]


def test_captions_much_shorter_than_the_longest_wait() -> None:
    blocks = list(caption_blocks(torch.tensor([9, 30, 20, 19, 8]), 1_000, 2 / 3))
    assert [(block.rows.tolist(), block.length) for block in blocks] == [([1, 2], 30), ([3], 19), ([0, 4], 9)]


def test_default_budget_is_a_share_of_a_gpus_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [80 * 2**30 - 5, 79 * 2**30, 40 * 2**30, 2**20]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 2**40))
    budgets = [default_budget.__wrapped__(torch.device("cuda", number)) for number in range(4)]
    assert budgets == [2**33, 2**33, 2**32, SMALLEST_BUDGET]
    assert default_budget(torch.device("cpu")) == SMALLEST_BUDGET


def test_rows_follow_the_budget_and_on_the_cpu_the_cache() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert rows_within(100_000, 1_000, cpu) == rows_within(100_000, 1_000, gpu) == 100
    assert rows_within(2**40, 1_000, cpu) == CACHED_ROWS * torch.get_num_threads()
    assert rows_within(2**40, 1_000, gpu) == 2**40 // 1_000
    assert rows_within(10, 1_000, gpu) == 1
