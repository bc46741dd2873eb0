"""Learning rates of the published schedule."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from VSEinfty_LSEH.schedule import learning_rate_factor


def options(**values: object) -> SimpleNamespace:
    published = {"lr_update": 10, "lr_update2": 20, "embedding_warmup_epochs": 2, "warmup": "loss"}
    return SimpleNamespace(**{**published, **values})


def test_the_learning_rate_falls_to_a_tenth_twice() -> None:
    factor = learning_rate_factor(options(), grids=False)
    wanted = {0: 1, 9.99: 1, 10: 0.1, 19.5: 0.1, 20: 0.01, 29: 0.01}
    assert {epoch: factor(epoch) for epoch in wanted} == pytest.approx(wanted)


def test_the_learning_rate_may_grow_instead_of_the_loss() -> None:
    factor = learning_rate_factor(options(warmup="learning_rate"), grids=True)
    assert [factor(epoch) for epoch in (1.5, 2.0, 2.25, 3.0)] == pytest.approx([1, 0, 0.25, 1])
    assert learning_rate_factor(options(warmup="learning_rate"), grids=False)(2.0) == 1
