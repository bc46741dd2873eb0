"""Similarity of description vectors."""

from __future__ import annotations

import pytest
import torch

from vse.losses.semantics import description_similarity

VECTORS = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("normalise", "first_row"),
    [("rowmax", [1.0, 1 / 3, 0.0]), ("self", [1.0, 1 / 3, 0.0]), ("cosine", [1.0, 0.5**0.5, 0.0])],
)
def test_inner_products_are_divided_as_named(normalise: str, first_row: list[float]):
    assert description_similarity(VECTORS, normalise)[0].tolist() == pytest.approx(first_row)


def test_row_maximum_may_be_another_caption():
    assert description_similarity(VECTORS, "rowmax")[1].tolist() == pytest.approx([1.0, 2 / 3, 0.0])
    assert description_similarity(VECTORS, "self")[1].tolist() == pytest.approx([1.5, 1.0, 0.0])


@pytest.mark.parametrize("normalise", ["rowmax", "self", "cosine"])
def test_a_zero_vector_is_like_nothing(normalise: str):
    similarity = description_similarity(VECTORS, normalise)
    assert (similarity[2] == 0).all()
    assert (similarity[:, 2] == 0).all()
