"""Ids in feature files mean the pictures that they name; what could mean two pictures is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.data.drawn import DRAWS, Drawn, drawn
from vse.data.pairing import Kind, pair
from vse.data.sources.entry import Entry
from vse.errors import InputError


def entries(*images: object) -> list[Entry]:
    return [Entry(str(image), (3, 4), f"row {row}", row) for row, image in enumerate(images)]


def paired(
    images: list[object], names: list[str], ids: list[int] | None = None, match: str = "auto"
) -> list[int | None]:
    """The picture of each entry, or None."""
    numbers = list(range(len(names))) if ids is None else ids
    reading = pair(entries(*images), names, numbers, match, "a.tsv")  # type: ignore[arg-type]
    return [reading.picture.get(row) for row in range(len(images))]


NAMES = ["b_0.jpg", "a_2.jpg", "c_1.jpg"]


@pytest.mark.parametrize(
    ("images", "names", "expected"),
    [
        (["a_2.jpg", "b_0.jpg", "c_1.jpg"], NAMES, [1, 0, 2]),
        (["a_2", "b_0", "c_1"], NAMES, [1, 0, 2]),
        (["a_2.npz", "b_0.npz", "c_1.npz"], NAMES, [1, 0, 2]),
        (["/data/images/a_2.jpg", "x\\b_0.jpg", "c_1.jpg"], NAMES, [1, 0, 2]),
        (["a_2.jpg", "other.jpg", "b_0.jpg", "c_1.jpg"], NAMES, [1, None, 0, 2]),
        (["img.v2", "img.v1"], ["img.v1.png", "img.v2.png"], [1, 0]),
        (["d/dogs/1.jpg", "d/cats/1.jpg"], ["cats/1.jpg", "dogs/1.jpg"], [1, 0]),
        (["a.PNG", "a.jpg"], ["a.jpg", "a.PNG"], [1, 0]),
    ],
)
def test_names_are_names_whatever_numbers_they_hold(
    images: list[object], names: list[str], expected: list[int | None]
) -> None:
    assert paired(images, names) == expected


def test_captions_ids_are_taken_where_no_name_fits() -> None:
    assert paired([42, "000000000007"], ["x.jpg", "y.jpg"], [7, 42]) == [1, 0]


def test_numbers_at_the_end_are_taken_where_nothing_else_fits() -> None:
    assert paired(["COCO_7", "COCO_42"], ["val_000042.jpg", "val_000007.jpg"]) == [1, 0]


def test_ids_that_numbers_confirm_may_be_incomplete() -> None:
    assert paired([42], ["COCO_0042.jpg", "COCO_0007.jpg"], [42, 7]) == [0]


@pytest.mark.parametrize(
    ("images", "names", "ids", "words"),
    [
        ([0, 1, 2], ["2.jpg", "0.jpg", "1.jpg"], None, "--match stem or --match id"),
        ([0, 1, 2], ["n2.jpg", "n0.jpg", "n1.jpg"], None, "--match id or --match number"),
        ([1, 2, 3], ["n2.jpg", "n1.jpg", "n3.jpg"], None, "may be counted from 1; .*or say --match number"),
        ([1, 2], ["2.jpg", "3.jpg", "1.jpg"], None, "--match stem or --match id"),
        (["a_1.jpg", "x_2.jpg"], ["a_2.jpg", "b_1.jpg"], None, "none of 2 images"),
        ([4, 5], ["x.jpg", "y.jpg"], [6, 7], r"none of 2 images \(4, 5\) is one of the captions' \(id 6, x.jpg"),
        ([7], ["x.jpg", "y.jpg"], [7, 8], r"ids may be the captions' own ids \(1 of 2 images\), but that leaves out y"),
    ],
)
def test_ids_that_could_mean_two_pictures_are_refused(
    images: list[object], names: list[str], ids: list[int] | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        paired(images, names, ids)


@pytest.mark.parametrize(("match", "expected"), [("stem", [1, 2, 0]), ("id", [0, 1, 2]), ("number", [1, 2, 0])])
def test_the_kind_that_is_asked_for_decides(match: Kind, expected: list[int]) -> None:
    assert paired([0, 1, 2], ["2.jpg", "0.jpg", "1.jpg"], match=match) == expected


def test_kinds_that_give_images_one_id_are_refused() -> None:
    with pytest.raises(InputError, match="--match number gives several images one id"):
        paired([1], ["a_1.jpg", "b_1.jpg"], match="number")


@pytest.mark.parametrize("match", ["auto", "id"])
def test_ids_that_count_from_one_are_never_shifted(match: str) -> None:
    with pytest.raises(InputError, match="may be counted from 1"):
        paired([1, 2, 3], ["x.jpg", "y.jpg", "z.jpg"], match=match)


@given(drawn())
@settings(max_examples=DRAWS or 100, derandomize=not DRAWS, deadline=None, database=None)
def test_rows_of_any_names_never_go_to_other_pictures(case: Drawn) -> None:
    try:
        found = paired(list(case.images), case.names, case.ids)
    except InputError:
        assert not case.plain
        return
    assert all(picture in (None, truth) for picture, truth in zip(found, case.truth, strict=True))
    if case.plain:
        assert found == case.truth
