"""Which objective HAL's options choose."""

from __future__ import annotations

import pytest

from HAL.loss import DEFAULTS, HALOptions, chosen
from vse.errors import InputError
from vse.losses import HAL, MaxHinge, SumHinge, build_objective, resolve


def test_hal_is_the_objective_and_a_flag_changes_a_constant() -> None:
    bound = build_objective(resolve(HALOptions(local_ep=0.7), DEFAULTS))
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
    bound = build_objective(resolve(chosen(HALOptions(**flags)), DEFAULTS))
    assert type(bound) is kind
    assert kind is HAL or bound.margin == 0.2


def test_sum_violation_beside_another_objective_is_refused() -> None:
    with pytest.raises(InputError, match="does nothing"):
        chosen(HALOptions(loss="infonce", sum_violation=True))
