"""Test the difference of two rows. Queries and seeds are both samples; each has its own test.

Queries: a bootstrap and a permutation test over the images of the split, each with its captions, because captions of
one image are not independent. They ask whether these trained models differ on other queries of the kind. Seeds: a
t-test over the differences of runs with equal seeds. It asks whether other runs would differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from vse.evaluation.ranking import RECALL_AT

RESAMPLES = 10_000

METRICS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "rsum": (RECALL_AT, RECALL_AT),
    **{f"r{k}": ((k,), ()) for k in RECALL_AT},
    **{f"r{k}i": ((), (k,)) for k in RECALL_AT},
}
"""Metric -> the k of its recalls from image to text, and from text to image. A metric is the sum of its recalls."""

_BLOCK = 2**21


@dataclass(frozen=True)
class QueryHits:
    """Contribution of each image of a split to a metric: its own query, and the queries of its captions.

    The metric is 100 * (images.sum() / image_queries.sum() + captions.sum() / caption_queries.sum()), without the
    direction that it does not have.
    """

    images: np.ndarray  # [I] hits of the image's query, summed over the k
    image_queries: np.ndarray  # [I] 1 where the image has captions, else 0
    captions: np.ndarray  # [I] hits of its captions' queries, summed over the k and over its captions
    caption_queries: np.ndarray  # [I] number of its captions

    def value(self) -> float:
        """Return the metric in percent."""
        return float(self.shares().sum())

    def shares(self) -> np.ndarray:
        """[I] part of the metric that each image contributes."""
        return 100 * (self.images / self.image_queries.sum() + self.captions / self.caption_queries.sum())


def query_hits(
    image_to_text: np.ndarray, text_to_image: np.ndarray, caption_image: np.ndarray, metric: str = "rsum"
) -> QueryHits:
    """Count the hits of every query by the image that it belongs to.

    Args:
        image_to_text: 0-based ranks, one entry for every image that has captions, in the order of the images.
        text_to_image: [M] 0-based ranks.
        caption_image: [M] image of each caption.
        metric: one of `METRICS`.
    """
    of_images, of_captions = METRICS[metric]
    count = int(caption_image.max()) + 1
    caption_queries = np.bincount(caption_image, minlength=count)
    images = np.zeros(count)
    images[caption_queries > 0] = sum((image_to_text < k for k in of_images), np.zeros(len(image_to_text)))
    hits = sum((text_to_image < k for k in of_captions), np.zeros(len(text_to_image)))
    captions = np.bincount(caption_image, weights=hits, minlength=count)
    return QueryHits(images, (caption_queries > 0).astype(float), captions, caption_queries.astype(float))


def mean_difference(ours: Sequence[QueryHits], theirs: Sequence[QueryHits]) -> QueryHits:
    """Hits of our models less those of theirs, averaged over pairs of models (of equal seeds)."""
    images = np.mean([a.images - b.images for a, b in zip(ours, theirs, strict=True)], axis=0)
    captions = np.mean([a.captions - b.captions for a, b in zip(ours, theirs, strict=True)], axis=0)
    return QueryHits(images, ours[0].image_queries, captions, ours[0].caption_queries)


def bootstrap_interval(
    difference: QueryHits, share: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a metric (or of its difference) over resampled images with their captions.

    Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    count = len(difference.images)
    generator = np.random.default_rng(seed)
    values: list[np.ndarray] = []
    block = max(1, _BLOCK // count)
    for first in range(0, resamples, block):
        drawn = generator.integers(count, size=(min(block, resamples - first), count))
        parts = (difference.images, difference.image_queries, difference.captions, difference.caption_queries)
        images, image_queries, captions, caption_queries = (part[drawn].sum(axis=1) for part in parts)
        values.append(100 * (images / image_queries + captions / caption_queries))
    low, high = np.quantile(np.concatenate(values), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def permutation_p(shares: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p of a sum of paired differences: how often random signs give one at least as large.

    Fisher's randomisation test, as recommended for retrieval by Smucker et al., CIKM 2007. The observed signs count as
    one draw, so that p is never 0.

    Args:
        shares: [Q] difference that each unit contributes.
    """
    generator = np.random.default_rng(seed)
    observed, reached = abs(shares.sum()), 1
    tolerance = 1e-9 * np.abs(shares).sum()
    block = max(1, _BLOCK // len(shares))
    for first in range(0, resamples, block):
        signs = generator.integers(0, 2, size=(min(block, resamples - first), len(shares)), dtype=np.int8)
        sums = 2 * (signs @ shares) - shares.sum()
        reached += int((np.abs(sums) >= observed - tolerance).sum())
    return reached / (resamples + 1)


def seeds_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of a paired t-test over seeds; None where there are fewer than two, or they are all equal."""
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    return float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)


def seeds_needed(differences: Sequence[float], level: float = 0.05, power: float = 0.8, most: int = 1000) -> int | None:
    """How many seeds of each row a paired t-test needs to see a difference of this size.

    Args:
        differences: of the seeds at hand; their mean and sample deviation are taken for the true ones.
        level: chance to see a difference that is not there.
        power: chance to see the one that is.

    Returns:
        None where fewer than two seeds are at hand, or more than `most` would be needed.
    """
    if len(differences) < 2:
        return None
    deviation = float(np.std(differences, ddof=1))
    if deviation == 0:
        return 2 if np.mean(differences) else None
    effect = abs(float(np.mean(differences))) / deviation
    numbers = np.arange(2, most + 1)
    threshold = scipy.stats.t.ppf(1 - level / 2, numbers - 1)
    reached = scipy.stats.nct.sf(threshold, numbers - 1, effect * np.sqrt(numbers)) >= power
    return int(numbers[reached.argmax()]) if reached.any() else None


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for how many there are (Holm, Scandinavian Journal of Statistics, 1979); None stays None."""
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for number, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - number) * value))
        corrected[place] = largest
    return corrected
