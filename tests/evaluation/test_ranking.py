"""Ranks equal a full stable sort; metrics, folds, precision at R and hubness equal what their definitions give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vse.errors import InputError
from vse.evaluation import ranking
from vse.evaluation.ranking import Ranks, evaluate, folds, hubness, metrics, nearest, precision_at_r, ranks, relevance


def sorted_ranks(scores: np.ndarray, caption_image: np.ndarray) -> Ranks:
    """The definition: sort every row and column in full, stable, descending, and look for the own items."""
    by_image = np.argsort(-scores, axis=1, kind="stable")
    by_caption = np.argsort(-scores, axis=0, kind="stable").T
    described = np.isin(np.arange(len(scores)), caption_image)
    first_own = [np.flatnonzero(caption_image[row] == i)[:1] for i, row in enumerate(by_image)]
    own_image = [np.flatnonzero(row == i)[0] for row, i in zip(by_caption, caption_image, strict=True)]
    return Ranks(
        np.concatenate(first_own).astype(np.int64),
        np.array(own_image, dtype=np.int64),
        by_image[described, 0],
        by_caption[:, 0],
    )


def assert_same(a: Ranks, b: Ranks) -> None:
    for name in ("image_to_text", "text_to_image", "best_captions", "best_images"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@st.composite
def splits(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A score matrix of few distinct values (many ties), with any number of captions per image in any order."""
    n_images = draw(st.integers(1, 9))
    caption_image = np.array(draw(st.lists(st.integers(0, n_images - 1), min_size=1, max_size=30)))
    levels = draw(st.sampled_from([1, 2, 4, 1000]))
    scores = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, levels, (n_images, len(caption_image)))
    scores = scores.astype(draw(st.sampled_from([np.float32, np.float64])))
    if draw(st.booleans()):
        scores[scores == 0] = -np.inf
    return scores, caption_image


@settings(max_examples=200, deadline=None)
@given(split=splits(), block=st.sampled_from([1, 17, 2**20]))
def test_ranks_equal_a_full_stable_sort_ties_included(split: tuple[np.ndarray, np.ndarray], block: int) -> None:
    scores, caption_image = split
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_BLOCK_ELEMENTS", block)
        counted = ranks(scores, caption_image)
    assert_same(counted, sorted_ranks(scores, caption_image))


@settings(max_examples=100, deadline=None)
@given(split=splits(), k=st.integers(1, 5), block=st.sampled_from([1, 17, 2**20]))
def test_nearest_equals_the_head_of_a_full_stable_sort(
    split: tuple[np.ndarray, np.ndarray], k: int, block: int
) -> None:
    scores = split[0]
    k = min(k, scores.shape[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_BLOCK_ELEMENTS", block)
        found = nearest(torch.from_numpy(scores), k)
    np.testing.assert_array_equal(found.numpy(), np.argsort(-scores, axis=1, kind="stable")[:, :k])


def test_ranks_take_tensors_and_arrays_alike() -> None:
    scores = torch.randn(6, 18, generator=torch.Generator().manual_seed(0))
    caption_image = torch.arange(18) // 3
    assert_same(ranks(scores, caption_image), ranks(scores.numpy(), caption_image.numpy()))


def test_a_network_that_scores_all_alike_ranks_like_chance() -> None:
    result = metrics(ranks(np.zeros((100, 500), np.float32), np.arange(500) // 5))
    assert result["r1"] == result["r1i"] == 1.0
    assert result["r10"] == 2.0  # images 0 and 1 own the first ten captions
    assert result["r10i"] == 10.0


def test_an_image_without_captions_is_left_out_of_image_to_text() -> None:
    scores = np.array([[1.0, 0.0], [9.0, 9.0], [0.0, 2.0]], np.float32)
    result = ranks(scores, np.array([0, 2]))
    np.testing.assert_array_equal(result.image_to_text, [0, 0])
    np.testing.assert_array_equal(result.best_captions, [0, 1])
    np.testing.assert_array_equal(result.text_to_image, [1, 1])
    np.testing.assert_array_equal(result.best_images, [1, 1])


@pytest.mark.parametrize("where", [(0, 0), (3, 7), (2, 5)])
def test_a_nan_score_is_refused_with_its_image(where: tuple[int, int]) -> None:
    scores = np.zeros((4, 8), np.float32)
    scores[where] = np.nan
    with pytest.raises(InputError, match=f"image {where[0]} hold NaN"):
        ranks(scores, np.arange(8) // 2)


@pytest.mark.parametrize(
    ("scores", "caption_image"),
    [
        (np.zeros((4, 8), np.float32), np.arange(7) // 2),
        (np.zeros((4, 8), np.float32), np.arange(8) // 2 + 1),
        (np.zeros((4, 8), np.float32), np.arange(8) // 2 - 1),
        (np.zeros((4, 8), np.int64), np.arange(8) // 2),
        (np.zeros(8, np.float32), np.arange(8) // 2),
        (np.zeros((0, 8), np.float32), np.arange(8) // 2),
    ],
)
def test_scores_that_do_not_fit_the_split_are_refused(scores: np.ndarray, caption_image: np.ndarray) -> None:
    with pytest.raises(InputError, match="similarities"):
        ranks(scores, caption_image)


def test_metrics_are_the_published_formulas() -> None:
    i2t, t2i = np.array([0, 3, 4, 12]), np.array([0, 0, 1, 9, 10])
    result = metrics(Ranks(i2t, t2i, i2t, t2i))
    assert [result[name] for name in ("r1", "r5", "r10", "medr", "meanr")] == [25.0, 75.0, 75.0, 4.0, 5.75]
    assert [result[name] for name in ("r1i", "r5i", "r10i", "medri", "meanri")] == [40.0, 60.0, 80.0, 2.0, 5.0]
    assert result["rsum"] == pytest.approx(25 + 75 + 75 + 40 + 60 + 80)
    assert result["ar"] == pytest.approx(175 / 3)
    assert result["ari"] == pytest.approx(60)
    assert result["mrr5"] == pytest.approx(100 * (1 + 1 / 4 + 1 / 5) / 4)
    assert result["mrr10i"] == pytest.approx(100 * (1 + 1 + 1 / 2 + 1 / 10) / 5)


def test_precision_at_r_counts_own_captions_among_the_first() -> None:
    caption_image = torch.tensor([0, 0, 0, 1, 1, 2])
    neighbours = torch.tensor([[0, 3, 2, 1], [5, 4, 3, 0], [0, 5, 1, 2], [0, 1, 2, 3]])  # image 3 has no captions
    own = relevance(neighbours, caption_image, torch.arange(6), 6)
    result = precision_at_r(own, caption_image.bincount(minlength=4))
    assert result["rprecision"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    assert result["map_at_r"] == pytest.approx(100 * ((1 + 2 / 3) / 3 + (1 / 2) / 2 + 0) / 3)


def test_hubness_is_statistics_of_the_k_occurrence() -> None:
    neighbours = torch.tensor([[0, 1], [0, 2], [0, 1]])  # k-occurrence 3 2 1 0
    assert hubness(neighbours, 4) == pytest.approx({"hub_skewness": 0.0, "hub_largest": 3.0, "antihubs": 25.0})
    occurrence = np.array([4, 1, 0, 0, 1])
    expected = np.mean((occurrence - 1.2) ** 3) / occurrence.std() ** 3
    neighbours = torch.tensor([[0], [0], [0], [0], [1], [4]])
    assert hubness(neighbours, 5, suffix="i")["hub_skewnessi"] == pytest.approx(expected)
    assert hubness(torch.tensor([[0], [1]]), 2)["hub_skewness"] == 0.0


def test_folds_are_consecutive_slices_of_images() -> None:
    caption_image = np.array([4, 0, 1, 1, 5, 2, 3, 3])
    scores = np.arange(48, dtype=np.float32).reshape(6, 8)
    parts = [(part.numpy(), owner.tolist()) for part, owner in folds(scores, caption_image, count=3)]
    assert [owner for _, owner in parts] == [[0, 1, 1], [0, 1, 1], [0, 1]]
    np.testing.assert_array_equal(parts[0][0], scores[:2, 1:4])
    np.testing.assert_array_equal(parts[2][0], scores[4:, [0, 4]])


def test_fold5_averages_the_metrics_of_the_folds() -> None:
    scores = np.random.default_rng(0).standard_normal((20, 60)).astype(np.float32)
    caption_image = np.arange(60) // 3
    result = evaluate(scores, caption_image, fold5=True)
    alone = [evaluate(scores[4 * f : 4 * f + 4, 12 * f : 12 * f + 12], np.arange(12) // 3) for f in range(5)]
    assert result["folds"] == alone
    for name in ("r1", "r10i", "medr", "meanri", "rsum", "ar", "ari", "hub_skewness"):
        assert result[name] == pytest.approx(np.mean([part[name] for part in alone]))


def test_fold5_of_a_split_that_five_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="--fold5"):
        evaluate(np.zeros((7, 7), np.float32), np.arange(7), fold5=True)


def test_a_split_smaller_than_ten_items_is_evaluated() -> None:
    result = evaluate(np.eye(3, dtype=np.float32), np.arange(3))
    assert result["r1"] == result["r1i"] == result["rprecision"] == result["map_at_r"] == 100.0
    assert result["hub_largest"] == 3.0
