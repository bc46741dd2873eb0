"""TF32 is on or off as a whole, and off for scores and objectives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vse.nn.precision import SWITCHES, full_float32, multiply_in


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    before = [switch.fp32_precision for switch in SWITCHES]
    yield
    for switch, value in zip(SWITCHES, before, strict=True):
        switch.fp32_precision = value


@pytest.mark.parametrize(("precision", "value"), [("float32", "ieee"), ("tf32", "tf32"), ("bf16", "tf32")])
def test_a_precision_sets_every_switch(precision: str, value: str) -> None:
    multiply_in(precision)
    assert [switch.fp32_precision for switch in SWITCHES] == [value] * 3


def test_full_float32_leaves_the_switches_as_they_were() -> None:
    multiply_in("tf32")
    with full_float32():
        assert [switch.fp32_precision for switch in SWITCHES] == ["ieee"] * 3
    assert [switch.fp32_precision for switch in SWITCHES] == ["tf32"] * 3
