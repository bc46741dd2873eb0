"""What every form of feature file does with names, shapes and what stands beside the features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vse.data.sources.entry import LARGEST_IMAGE, Found, check_shape, make_entry, natural, pick
from vse.errors import InputError


def test_two_names_for_one_thing_are_refused() -> None:
    assert pick({"x": 1, "feats": 2}, ("features", "feats"), "a.h5", "say which") == "feats"
    assert pick({"x": 1}, ("features", "feats"), "a.h5", "say which") is None
    with pytest.raises(InputError, match=r"a\.h5: holds features and feats; say which"):
        pick({"feats": 1, "features": 2}, ("features", "feats"), "a.h5", "say which")


@pytest.mark.parametrize("shape", [(), (3, 0), (2, LARGEST_IMAGE)])
def test_shapes_that_no_features_have_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"row 1: features of shape .*expected \[regions, dimensions\]"):
        check_shape(shape, "row 1")


def entry_beside(**beside: Any) -> Any:
    def find(names: tuple[str, ...]) -> Found:
        return next(((name, beside[name]) for name in names if name in beside), None)

    return make_entry("7", (3, 4), "row 1", 0, find)


def test_a_size_counts_only_with_width_and_height() -> None:
    assert entry_beside(img_w=np.array([640]), height=480).size == (640, 480)
    assert entry_beside(width=640).size is None
    assert entry_beside(num_boxes=np.array([[2]])).regions == 2


@pytest.mark.parametrize("count", [[1, 2], "two", float("nan")])
def test_a_count_that_is_no_number_is_refused(count: Any) -> None:
    with pytest.raises(InputError, match=r"row 1: num_boxes is .*expected a finite number"):
        entry_beside(num_boxes=count)


def test_a_message_names_what_is_there() -> None:
    with pytest.raises(InputError, match=r"row 1: num_regions is int64 \[2\]; expected a finite number"):
        entry_beside(num_regions=[1, 2])
    with pytest.raises(InputError, match=r"row 1: img_h is "):
        entry_beside(img_h="tall")


def test_names_are_sorted_by_their_numbers() -> None:
    names = ["img_10", "img_2", "a", "٣", "10.jpg", "9.jpg"]
    assert sorted(names, key=natural) == ["9.jpg", "10.jpg", "a", "img_2", "img_10", "٣"]
    assert natural("7" * 5000) < natural("8" * 5000)


@pytest.mark.parametrize("names", [["img_1", "img_01", "img_10", "img_2"], ["img_10", "img_2", "img_01", "img_1"]])
def test_names_have_one_order_wherever_they_come_from(names: list[str]) -> None:
    assert sorted(names, key=natural) == ["img_01", "img_1", "img_2", "img_10"]
