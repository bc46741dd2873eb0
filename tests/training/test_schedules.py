"""Schedules: where rates fall, how they warm up, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from vse.errors import InputError
from vse.options import TrainingOptions
from vse.training.recipe import step_decay
from vse.training.schedules import depends_on_length, learning_rate_factor


def rates(epochs: int = 10, steps: int = 4, **changed: Any) -> list[float]:
    options = TrainingOptions(num_epochs=epochs, lr_update=3, **changed)
    factor = learning_rate_factor(options, step_decay(options), steps)
    return [factor(step / steps) for step in range(epochs * steps)]


def test_the_original_schedule_is_kept() -> None:
    assert rates()[:25:4] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_rates_are_multiplied_at_epochs() -> None:
    found = rates(schedule="step", lr_milestones=(2, 5), lr_decay=0.3)
    assert found[7:9] == pytest.approx([1, 0.3])
    assert found[19:21] == pytest.approx([0.3, 0.09])
    assert found[-1] == pytest.approx(0.09)


def test_rates_are_multiplied_at_fractions_of_the_run() -> None:
    found = rates(schedule="step", lr_milestones=(0.5, 0.75))
    assert found[19:21] == pytest.approx([1, 0.1])
    assert found[29:31] == pytest.approx([0.1, 0.01])


def test_an_epoch_may_be_a_fraction_too() -> None:
    assert rates(schedule="step", lr_milestones=(2.25,))[8:10] == pytest.approx([1, 0.1])


def test_cosine_falls_to_almost_nothing_after_the_warm_up() -> None:
    found = rates(schedule="cosine", lr_warmup_steps=4)
    assert found[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert found[4 + 18] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(found[4:]))
    assert 0 < found[-1] < 0.01


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"schedule": "step"}, "belong together"),
        ({"lr_milestones": (2,)}, "belong together"),
        ({"schedule": "step", "lr_milestones": (5, 2)}, "--lr_milestones 5 2: expected ascending"),
        ({"schedule": "step", "lr_milestones": (10,)}, "epochs from 1 to less than 10 or as fractions"),
        ({"schedule": "step", "lr_milestones": (0.5, 4.5, 5)}, "--lr_milestones 0.5 4.5 5: expected ascending"),
        ({"schedule": "step", "lr_milestones": (0.999,)}, "before the end of the run"),
        ({"lr_warmup_steps": 41}, "the run has 40 steps"),
        ({"lr_warmup_steps": 40, "schedule": "cosine"}, "the run has 40 steps"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        rates(**changed)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "cosine", "lr_milestones": []}, True),
        ({"schedule": "step", "lr_milestones": [0.5]}, True),
        ({"schedule": "step", "lr_milestones": [4, 8.5]}, False),
        ({"schedule": "original"}, False),
    ],
)
def test_some_schedules_depend_on_the_number_of_epochs(options: dict[str, Any], expected: bool) -> None:
    assert depends_on_length(options) is expected
