"""Which objective HAL's options choose, and that its published constants reach it."""

from __future__ import annotations

from inspect import signature

import pytest

from HAL.loss import PUBLISHED, HALOptions, chosen, objective
from vse.errors import InputError
from vse.losses import HAL, MaxHinge, SumHinge


def test_the_published_constants_are_the_objectives_own_defaults() -> None:
    defaults = {name: parameter.default for name, parameter in signature(HAL).parameters.items()}
    assert PUBLISHED["hal"] == {name: defaults[name] for name in PUBLISHED["hal"]}


def test_constants_are_left_open_in_the_options_and_bound_with_the_objective() -> None:
    assert HALOptions().local_alpha is None  # so that an option which does nothing can be refused
    bound = objective(HALOptions(local_ep=0.7))
    assert isinstance(bound, HAL)
    assert (bound.local_alpha, bound.local_ep) == (30, 0.7)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({}, HAL),
        ({"sum_violation": True}, SumHinge),
        ({"max_violation": True}, MaxHinge),
        ({"sum_violation": True, "max_violation": True}, MaxHinge),
    ],
)
def test_the_hinges_take_hals_place_with_the_published_margin(flags: dict[str, bool], kind: type) -> None:
    bound = objective(chosen(HALOptions(**flags)))
    assert type(bound) is kind
    assert kind is HAL or bound.margin == 0.2


def test_sum_violation_beside_another_objective_is_refused() -> None:
    with pytest.raises(InputError, match="does nothing"):
        chosen(HALOptions(loss="infonce", sum_violation=True))
