"""Objectives in plain Python loops, to hold the vectorised ones against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from vse.losses import Objective, Pairs

Matrix = list[list[float]]
RULES = ("negative", "ignore", "positive")


@st.composite
def batches(draw: st.DrawFn) -> tuple[Matrix, list[int], Matrix]:
    """Scores (ties likely), image ids (repeats likely) and description vectors (zero rows likely)."""
    size = draw(st.integers(1, 5))
    score = st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]))
    # A vector that is almost zero is what reading descriptions rounds to zero.
    entry = st.one_of(st.just(0.0), st.floats(0.01, 1), st.floats(-1, -0.01))
    return (
        draw(st.lists(st.lists(score, min_size=size, max_size=size), min_size=size, max_size=size)),
        draw(st.lists(st.integers(0, 6), min_size=size, max_size=size)),
        draw(st.lists(st.lists(entry, min_size=3, max_size=3), min_size=size, max_size=size)),
    )


def assert_value(objective: Objective, batch: tuple[Matrix, list[int], Matrix], expected: float) -> None:
    """The objective of a batch is this number, in float64."""
    scores, images, vectors = batch
    pairs = Pairs(torch.tensor(images), torch.arange(len(images)), torch.tensor(vectors, dtype=torch.float64))
    found = objective.double()(torch.tensor(scores, dtype=torch.float64), pairs)
    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def queries(scores: Matrix, images: list[int], rule: str) -> Iterator[tuple[int, list[float], list[int], list[int]]]:
    """Every query of both directions: its number, its row of scores, its positives, its negatives."""
    size = len(scores)
    for rows in (scores, [[scores[i][j] for i in range(size)] for j in range(size)]):
        for query in range(size):
            same = [other for other in range(size) if images[other] == images[query]]
            positives = same if rule == "positive" else [query]
            others = [query] if rule == "negative" else same
            yield query, rows[query], positives, [other for other in range(size) if other not in others]


def sum_of_costs(scores: Matrix, images: list[int], rule: str, cost: Callable[[float, list[float]], float]) -> float:
    """Sum over the queries of the mean over their positives of cost(positive, negatives)."""
    total = 0.0
    for _, row, positives, negatives in queries(scores, images, rule):
        total += sum(cost(row[right], [row[wrong] for wrong in negatives]) for right in positives) / len(positives)
    return total


def log_sum(exponents: list[float]) -> float:
    largest = max(exponents)
    return largest + math.log(sum(math.exp(exponent - largest) for exponent in exponents))


def softmax(exponents: list[float]) -> list[float]:
    return [math.exp(exponent - log_sum(exponents)) for exponent in exponents]


def inner(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: list[float], b: list[float]) -> float:
    norms = math.sqrt(inner(a, a) * inner(b, b))
    return inner(a, b) / norms if norms else 0.0


def random_pairs(size: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Pairs]:
    """Scores without ties, embeddings, a repeated image and a zero description where there is room for them."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(size, size, generator=generator, dtype=dtype) * 2 - 1
    image_ids = torch.arange(size)
    descriptions = torch.randn(size, 4, generator=generator, dtype=dtype)
    images, captions = torch.randn(2, size, 3, generator=generator, dtype=dtype)
    if size > 2:
        image_ids[1] = image_ids[0]
        descriptions[2] = 0
    pairs = Pairs(image_ids, torch.arange(size) * 5, descriptions, images=images, captions=captions)
    return scores, pairs
