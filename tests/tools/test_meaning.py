"""Which captions are similar in meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vse.data.datasets import Split, open_split
from vse.evaluation.ranking import ranks
from vse.tools.meaning import Meaning, measure_meaning, own_captions


@pytest.fixture
def split(tmp_path: Path, make_data_set) -> Split:
    return open_split(make_data_set(tmp_path / "small_precomp"), "test")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_shares_are_those_of_all_pairs(split: Split) -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(40, 3)))
    own, others = Meaning(split, vectors, "svd", 0.3).shares()
    cosines, owner = vectors @ vectors.T, split.caption_image
    first, second = np.triu_indices(40, 1)
    same = owner[first] == owner[second]
    reached = cosines[first, second] >= 0.3
    assert own == pytest.approx(100 * reached[same].mean())
    assert others == pytest.approx(100 * reached[~same].mean(), abs=1)


def test_false_negatives_are_counted_among_failures_only(split: Split) -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(40, 3)))
    meaning = Meaning(split, vectors, "svd", 0.8)
    scores = torch.rand(8, 40, generator=torch.Generator().manual_seed(2))
    of_image = of_caption = 0
    for image in range(8):
        best = int(scores[image].argmax())
        close = (vectors[own_captions(split, image)] @ vectors[best]).max() >= 0.8
        of_image += bool(split.caption_image[best] != image and close)
    for caption in range(40):
        best = int(scores[:, caption].argmax())
        close = (vectors[own_captions(split, best)] @ vectors[caption]).max() >= 0.8
        of_caption += bool(split.caption_image[caption] != best and close)
    assert meaning.false_negatives(ranks(scores, split.caption_image)) == (of_image, of_caption)


def test_the_same_words_have_cosine_one(split: Split) -> None:
    split.captions[7] = split.captions[30] = "a zebra crosses the river"
    meaning = measure_meaning(split, "svd")
    assert meaning.likeness(7, np.array([30]))[0] == pytest.approx(1, abs=1e-5)
    assert meaning.reaches(7, 6)
