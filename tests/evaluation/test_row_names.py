"""Names of rows hold what a user set that tells them apart, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from vse.errors import InputError
from vse.evaluation.row_names import other_differences, pick, row_names

LSEH = {"network": "VSEpp", "learning_rate": 0.001, "loss": "lseh", "semantic_weight": 0.025, "descriptions": "d" * 64}
LMH = {"network": "VSEpp", "learning_rate": 0.001, "loss": "max_hinge", "semantic_weight": None, "descriptions": None}


def names(*rows: dict[str, Any], chosen: set[str] | None = None) -> list[str]:
    return row_names(rows, [chosen or set()] * len(rows))


def test_what_follows_from_the_objective_is_not_named() -> None:
    assert names(LSEH, LMH, chosen={"loss"}) == ["VSEpp loss=lseh", "VSEpp loss=max_hinge"]


def test_networks_are_told_apart_by_their_names_alone() -> None:
    assert names(LSEH, LMH | {"network": "HAL"}, chosen={"loss"}) == ["VSEpp", "HAL"]


def test_a_grid_is_named_by_both_of_its_axes() -> None:
    rows = [{**row, "learning_rate": rate} for row in (LSEH, LMH) for rate in (0.001, 0.0002)]
    assert names(*rows, chosen={"loss", "learning_rate"})[1] == "VSEpp loss=lseh learning_rate=0.0002"


def test_what_users_set_comes_before_anything_else() -> None:
    rows = [{**LMH, "vocabulary": digest * 64, "margin": margin} for digest, margin in (("a", 0.1), ("b", 0.2))]
    assert names(*rows, chosen={"margin"}) == ["VSEpp margin=0.1", "VSEpp margin=0.2"]
    assert names(*rows) == ["VSEpp vocabulary=aaaaaaaa", "VSEpp vocabulary=bbbbbbbb"]


def test_a_value_that_only_one_row_has_names_that_row() -> None:
    assert names(LMH, LMH | {"warmup_epochs": 2.0}, chosen={"warmup_epochs"}) == ["VSEpp", "VSEpp warmup_epochs=2"]


def test_models_without_a_record_are_named_by_their_digests() -> None:
    rows = ({"network": "VSEpp", "weights": "a" * 64}, {"network": "VSRN", "weights": "b" * 64})
    assert names(*rows) == ["VSEpp weights=aaaaaaaa", "VSRN weights=bbbbbbbb"]


def test_a_name_never_hides_that_commands_differ() -> None:
    rows, chosen = [LSEH, LMH | {"learning_rate": 0.0002}], [{"loss", "learning_rate"}] * 2
    assert other_differences(rows, chosen, row_names(rows, chosen)) == ["learning_rate"]
    assert other_differences([LSEH, LMH], chosen, row_names([LSEH, LMH], chosen)) == []


ROWS = ["VSEpp loss=lseh margin=0.2", "VSEpp loss=max_hinge margin=0.2", "VSEpp loss=max_hinge margin=0.25"]


@pytest.mark.parametrize(
    ("wanted", "place"),
    [("2", 1), (ROWS[2], 2), ("lseh", 0), ("loss=lseh", 0), ("lmh 0.2", 1), ("max_hinge margin=0.2", 1), ("0.25", 2)],
)
def test_a_row_is_meant_by_number_name_or_part(wanted: str, place: int) -> None:
    assert pick(ROWS, wanted) == place


@pytest.mark.parametrize(
    ("wanted", "words"), [("hinge", "several"), ("hal", "no row"), ("4", "no row"), ("lmh", "several")]
)
def test_a_part_of_several_names_or_none_is_refused(wanted: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^--against {wanted}: {words} .*3 VSEpp loss=max_hinge margin=0.25$"):
        pick(ROWS, wanted)
