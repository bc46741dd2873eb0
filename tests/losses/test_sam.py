"""SAM against its definition."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.losses.plain import Matrix, assert_value, batches, cosine
from vse.losses import SAM


def plain_sam(scores: Matrix, images: list[int], vectors: Matrix, hardest: bool) -> float:
    size, total = len(scores), 0.0
    for query in range(size):
        others = [other for other in range(size) if images[other] != images[query]]
        own = scores[query][query]
        margins = {other: 0.2 - 0.2 * cosine(vectors[query], vectors[other]) for other in others}
        for row in ({j: scores[query][j] for j in others}, {i: scores[i][query] for i in others}):
            costs = [max(0.0, margins[other] + row[other] - own) for other in others]
            total += max(costs, default=0.0) if hardest else sum(costs)
    return total


@pytest.mark.parametrize("hardest", [True, False])
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(hardest: bool, batch):
    assert_value(SAM(max_violation=hardest), batch, plain_sam(*batch, hardest))
