"""The attacks of the campaign: a small one of each kind always, all of them with `pytest -m campaign`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import senseless
from tests.faults.campaign import (
    ATTACKS,
    bad_data_sets,
    failing_saves,
    flips,
    fuzzed_pickles,
    hostile_files,
    hostile_formats,
    killed_runs,
    long_runs,
    senseless_options,
    senseless_runs,
    two_processes,
)
from tests.faults.formats import FORMATS
from tests.faults.rows import Row

SMALL: dict[str, Callable[[], Row]] = {
    "flips": lambda: flips(100),
    "hostile": lambda: hostile_files(8),
    "formats": lambda: hostile_formats(0, FORMATS[7:8]),
    "data": lambda: bad_data_sets(50),
    "processes": lambda: two_processes(2),
    "growth": lambda: long_runs(100, ["VSEpp_LSEH"]),
    "pickles": lambda: fuzzed_pickles(2000),
    "saves": lambda: failing_saves(40),
    "options": lambda: senseless_options(["VSEpp_LSEH.train"], ("nan",)),
    "extremes": lambda: senseless_runs(["VSEpp_LSEH"], 2),
    "kills": lambda: killed_runs(["VSEpp_LSEH"], 3, 3),
}


@pytest.mark.parametrize("attack", SMALL)
def test_a_small_attack_does_no_harm(attack: str) -> None:
    row = SMALL[attack]()
    assert row.tried > 0
    assert not row.wrong
    assert row.refused + row.harmless == row.tried


@pytest.mark.campaign
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_does_no_harm(attack: str) -> None:
    row = ATTACKS[attack]()
    assert row.tried > 0
    assert not row.wrong


@pytest.mark.parametrize("script", senseless.SCRIPTS)
def test_every_numeric_option_states_its_range(script: str) -> None:
    bare = [flag for flag, ranges, _ in senseless.numbers(senseless.options_of(script)) if not ranges]
    assert not bare
