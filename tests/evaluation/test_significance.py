"""Whether differences are real: against textbook numbers, SciPy and ranx."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vse.evaluation.ranking import Ranks, evaluate, ranks
from vse.evaluation.significance import (
    METRICS,
    bootstrap_interval,
    holm,
    mean_difference,
    permutation_p,
    query_hits,
    seeds_needed,
    seeds_p,
)

UNEVEN = np.array([0, 0, 1, 1, 1, 3, 4, 4, 5, 5, 5, 5])  # image 2 has no caption
EVEN = np.arange(300) // 5


def some_scores(caption_image: np.ndarray, signal: float, seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).standard_normal((caption_image.max() + 1, len(caption_image)))
    scores[caption_image, np.arange(len(caption_image))] += signal
    return scores.astype(np.float32)


def hits_of(found: Ranks, caption_image: np.ndarray, metric: str = "rsum"):
    return query_hits(found.image_to_text, found.text_to_image, caption_image, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_the_hits_of_all_queries_make_the_metric(metric: str) -> None:
    scores = some_scores(UNEVEN, 1.0)
    hits = hits_of(ranks(scores, UNEVEN), UNEVEN, metric)
    assert hits.value() == pytest.approx(evaluate(scores, UNEVEN)[metric])


def test_a_difference_is_the_mean_over_pairs_of_models() -> None:
    scores = [some_scores(EVEN, signal, seed) for signal in (1.0, 2.0) for seed in (0, 1)]
    hits = [hits_of(ranks(s, EVEN), EVEN) for s in scores]
    rsums = [evaluate(s, EVEN)["rsum"] for s in scores]
    difference = mean_difference(hits[2:], hits[:2])
    assert difference.value() == pytest.approx(np.mean(rsums[2:]) - np.mean(rsums[:2]))


def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    hits = hits_of(ranks(some_scores(EVEN, 2.0), EVEN), EVEN)
    expected = stats.bootstrap(
        (hits.shares() * len(hits.images),), np.mean, n_resamples=9999, method="percentile", random_state=1
    ).confidence_interval
    found = bootstrap_interval(hits)
    width = expected.high - expected.low
    assert found[0] == pytest.approx(expected.low, abs=0.05 * width)
    assert found[1] == pytest.approx(expected.high, abs=0.05 * width)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        images, captions = generator.integers(0, 2, size=(2, 200))
        owners = np.arange(200)
        hits = query_hits(1 - images, 1 - captions, owners, "r1")  # a rank of 0 is a hit, with chance 1/2
        low, high = bootstrap_interval(hits, resamples=500, seed=seed)
        covered += low <= 50 <= high
    assert 88 <= covered <= 100


def test_captions_of_one_image_are_drawn_together() -> None:
    whole = np.repeat(np.random.default_rng(0).integers(0, 2, size=100), 5)  # all five right, or all five wrong
    owners = np.arange(500) // 5
    low, high = bootstrap_interval(query_hits(np.ones(100), 1 - whole, owners, "r1i"))
    deviation = 100 * np.sqrt(0.25 / 100)  # of 100 independent images, not of 500 captions
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_the_permutation_p_is_that_of_scipy() -> None:
    shares = np.random.default_rng(3).normal(0.25, 1, size=60)
    expected = stats.permutation_test(
        (shares, np.zeros(60)), lambda x, y, axis: (x - y).sum(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=9999, random_state=0,
    ).pvalue  # fmt: skip
    assert permutation_p(shares) == pytest.approx(expected, abs=0.012)


def test_equal_models_are_not_told_apart() -> None:
    assert permutation_p(np.zeros(50)) == 1.0
    assert 0.0 < permutation_p(np.ones(50)) < 0.001


def test_few_units_are_permuted_exactly_enough() -> None:
    # Of 2^3 equally likely signs, +++ and --- reach the sum of three ones.
    assert permutation_p(np.ones(3)) == pytest.approx(2 / 8, abs=0.02)


def test_ranx_counts_the_same_hits_and_finds_the_same_p(monkeypatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling takes a minute, running plain Python seconds
    ranx = pytest.importorskip("ranx")
    caption_image = np.arange(60)  # a caption an image: what ranx calls a hit is then recall in both directions
    ours, theirs = some_scores(caption_image, 1.2, 5), some_scores(caption_image, 0.8, 6)
    qrels = ranx.Qrels({f"q{i:02}": {f"d{i:02}": 1} for i in caption_image})

    def run(scores: np.ndarray, name: str):
        content = {f"q{i:02}": {f"d{j:02}": float(scores[i, j]) for j in caption_image} for i in caption_image}
        return ranx.Run(content, name=name)

    runs = [run(ours, "ours"), run(theirs, "theirs")]
    found = [ranks(scores, caption_image) for scores in (ours, theirs)]
    for k in (1, 5, 10):
        for result, ranking in zip(runs, found, strict=True):
            expected = ranx.evaluate(qrels, result, f"hit_rate@{k}", return_mean=False)
            hits = hits_of(ranking, caption_image, f"r{k}")
            np.testing.assert_array_equal(hits.images, expected)
    report = ranx.compare(qrels, runs, ["hit_rate@5"], stat_test="fisher", n_permutations=3_000, random_seed=1)
    expected = report.comparisons["ours", "theirs"]["hit_rate@5"]["p_value"]
    hits = [hits_of(ranking, caption_image, "r5") for ranking in found]
    assert permutation_p(mean_difference(hits[:1], hits[1:]).shares()) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("effect", "needed"), [(0.5, 34), (1.0, 10), (1.5, 6)])
def test_seeds_needed_are_those_of_power_tables(effect: float, needed: int) -> None:
    # Paired t-test, two-sided, 5 %, power 80 %: Cohen's d -> n, as in G*Power.
    differences = np.array([-1.0, 0.0, 1.0]) + effect  # sample deviation 1
    assert seeds_needed(list(differences)) == needed


def test_seeds_needed_is_silent_where_nothing_is_known() -> None:
    assert seeds_needed([1.0]) is None
    assert seeds_needed([1.0, -1.0]) is None  # no difference at all: no number is enough
    assert seeds_needed([1.0, 1.0]) == 2


def test_p_over_seeds_is_a_paired_t_test() -> None:
    ours, theirs = [231.0, 229.5, 233.0], [230.0, 228.0, 231.5]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert seeds_p(differences) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert seeds_p([1.0]) is None
    assert seeds_p([1.0, 1.0]) is None


def test_holm_corrects_step_by_step() -> None:
    # The example of Holm's procedure: sorted p times 4, 3, 2, 1, never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, None, 0.8]) == [1.0, None, 1.0]
