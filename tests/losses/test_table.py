"""The table of objectives."""

from __future__ import annotations

from dataclasses import is_dataclass

import pytest

from vse.errors import InputError
from vse.losses import LSEH, OBJECTIVES, MaxHinge, Objective
from vse.losses.table import canonical_name, constants_of, objective_class


def test_names_and_their_aliases_find_the_class():
    assert objective_class("lseh") is LSEH
    assert objective_class("lmh") is objective_class("max_hinge") is MaxHinge
    assert canonical_name("lmh") == "max_hinge"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_class_is_a_dataclass_in_a_file_of_its_name(name: str):
    kind = OBJECTIVES[name]
    assert is_dataclass(kind)
    assert issubclass(kind, Objective)
    assert kind.__module__ == f"vse.losses.{name}"
    assert constants_of(kind) == kind().constants() | constants_of(kind)


def test_the_name_that_is_one_letter_from_lseh_is_gone():
    with pytest.raises(InputError, match="sum_hinge"):
        objective_class("lsh")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"triplet.*lseh.*lmh.*FILE.py:ClassName"):
        objective_class("triplet")
