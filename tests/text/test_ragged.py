"""Rows of different lengths are stored, taken and stacked without mixing them up."""

from __future__ import annotations

import numpy as np
import pytest

from vse.text.ragged import Ragged

ROWS = [[1, 2, 3], [], [4], [5, 6]]


@pytest.fixture
def ragged() -> Ragged:
    return Ragged.from_rows(ROWS, np.int32)


def test_rows_come_back_as_stored(ragged: Ragged) -> None:
    assert [ragged[k].tolist() for k in range(len(ragged))] == ROWS
    assert ragged.lengths.tolist() == [3, 0, 1, 2]
    assert (ragged.values.dtype, ragged.offsets.dtype) == (np.int32, np.int64)


def test_stacked_rows_are_padded_to_the_longest(ragged: Ragged) -> None:
    assert ragged.stack(np.array([3, 1, 2])).tolist() == [[5, 6], [0, 0], [4, 0]]
    assert ragged.stack(np.array([0, 0]), padding=-1).tolist() == [[1, 2, 3]] * 2


def test_stacked_empty_rows_have_no_columns(ragged: Ragged) -> None:
    assert ragged.stack(np.array([1])).shape == (1, 0)
    assert ragged.stack(np.array([], dtype=np.int64)).shape == (0, 0)


def test_entries_may_have_a_shape() -> None:
    pairs = Ragged.from_rows([[[1, 2]], [], [[3, 4], [5, 6]]], np.int32, (2,))
    assert pairs[2].tolist() == [[3, 4], [5, 6]]
    assert pairs.stack(np.array([0, 2]), padding=-1).tolist() == [[[1, 2], [-1, -1]], [[3, 4], [5, 6]]]


def test_no_rows_are_a_ragged_array_too() -> None:
    empty = Ragged.from_rows([], np.int32, (2,))
    assert len(empty) == 0
    assert empty.values.shape == (0, 2)


@pytest.mark.parametrize("rows", [[[1, 2]], [[[1, 2], [3]]], [[[1, 2, 3]]], [[["a", "b"]]]])
def test_entries_of_another_shape_are_refused(rows: list[list[object]]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Ragged.from_rows(rows, np.int32, (2,))


@pytest.mark.parametrize("index", [-1, 4])
def test_a_row_that_is_not_there_is_an_error(ragged: Ragged, index: int) -> None:
    with pytest.raises(IndexError, match=f"row {index} of 4"):
        ragged[index]


def test_places_lead_to_the_entries_row_after_row(ragged: Ragged) -> None:
    places, lengths = ragged.places(np.array([3, 1, 0]))
    assert ragged.values[places].tolist() == [5, 6, 1, 2, 3]
    assert lengths.tolist() == [2, 0, 3]
