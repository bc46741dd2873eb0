"""Captions of nearly the same meaning, which distinguish false negatives from failures of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vse.data.datasets import Split
from vse.descriptions import sentence, svd
from vse.evaluation.ranking import Ranks

Kind = Literal["svd", "sentence"]

THRESHOLDS: dict[Kind, float] = {"svd": 0.75, "sentence": 0.65}
"""Cosine from which two captions count as similar in meaning, unless another is asked for (benchmarks/meaning.py)."""

SAMPLED = 100_000
"""Pairs of captions of different images by which the threshold is described."""


@dataclass(frozen=True)
class Meaning:
    """Description vectors of a split's captions, and the cosine above which two are similar in meaning."""

    split: Split
    vectors: np.ndarray  # [M, K] float32 of norm 1, or 0 for a caption without a known word
    kind: Kind
    threshold: float

    def likeness(self, caption: int, others: np.ndarray) -> np.ndarray:
        """Compare a caption with others [n] -> cosines [n]."""
        cosines: np.ndarray = self.vectors[others] @ self.vectors[caption]
        return cosines

    def shares(self, seed: int = 0) -> tuple[float, float]:
        """Percentages of pairs that reach the threshold: captions of one image, captions of two (a sample).

        NaN where there are no such pairs.
        """
        owner = self.split.caption_image
        # An image's captions are neighbours: shifts of 1, 2, ... meet each of its pairs once.
        shifts = range(1, int(np.bincount(owner).max()))
        first = [np.flatnonzero(owner[:-shift] == owner[shift:]) for shift in shifts]
        second = [rows + shift for rows, shift in zip(first, shifts, strict=True)]
        drawn = np.random.default_rng(seed).integers(len(owner), size=(2, SAMPLED))
        drawn = drawn[:, owner[drawn[0]] != owner[drawn[1]]]
        own = self._share(np.concatenate([[], *first]), np.concatenate([[], *second]))
        return own, self._share(drawn[0], drawn[1])

    def _share(self, first: np.ndarray, second: np.ndarray) -> float:
        if not len(first):
            return float("nan")
        first, second = first.astype(np.int64), second.astype(np.int64)
        hits = 0
        for start in range(0, len(first), SAMPLED):
            rows = slice(start, start + SAMPLED)
            cosines = np.einsum("ij,ij->i", self.vectors[first[rows]], self.vectors[second[rows]])
            hits += int((cosines >= self.threshold).sum())
        return 100 * hits / len(first)

    def false_negatives(self, rank: Ranks) -> tuple[int, int]:
        """Count the failures whose best answer is similar in meaning: of image to text, of text to image.

        A failure is a query whose best answer is wrong. An image is as similar as the most similar of its captions.
        """
        described = np.unique(self.split.caption_image)
        pairs = [
            zip(rank.best_captions[rank.image_to_text > 0], described[rank.image_to_text > 0], strict=True),
            zip(np.flatnonzero(rank.text_to_image > 0), rank.best_images[rank.text_to_image > 0], strict=True),
        ]
        counts = [sum(self.reaches(int(caption), int(image)) for caption, image in found) for found in pairs]
        return counts[0], counts[1]

    def reaches(self, caption: int, image: int) -> bool:
        """Whether one of an image's captions is similar in meaning to a caption."""
        own = own_captions(self.split, image)
        return bool(len(own)) and bool(self.likeness(caption, own).max() >= self.threshold)


def own_captions(split: Split, image: int) -> np.ndarray:
    """List the captions of an image."""
    first, last = np.searchsorted(split.caption_image, [image, image + 1])
    return np.arange(first, last)


def measure_meaning(split: Split, kind: Kind, threshold: float | None = None, device: str = "cpu") -> Meaning:
    """Make description vectors of a split's captions, in memory; cached ones of `sentence` are read.

    `svd` fits its basis to the split itself, as LSEH's vectors are fitted to the training captions.

    Args:
        threshold: cosine; default: that of the kind.

    Raises:
        InputError: no caption has a word that counts, or the sentence encoder is missing.
    """
    if kind == "svd":
        vectors = svd.fit(split.captions, source=split.captions_file).vectors
    else:
        cached = sentence.locate(split.captions_file.parent, split.captions_file) if split.lines is None else None
        if cached is None or len(cached) != len(split.captions):
            cached = sentence.encode(split.captions, device=device)
        vectors = cached
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Meaning(
        split, vectors / np.maximum(lengths, 1e-12), kind, THRESHOLDS[kind] if threshold is None else threshold
    )
