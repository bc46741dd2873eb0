"""The axes of stored features are decided by all images together, or asked for."""

from __future__ import annotations

import numpy as np
import pytest

from vse.data.sources.entry import Axes, Entry
from vse.data.sources.layout import Layout, arrange_boxes, find_layout
from vse.errors import InputError

Shape = tuple[int, ...]


def entries(*shapes: Shape, boxes: list[Shape] | None = None, counts: list[int] | None = None) -> list[Entry]:
    return [
        Entry(
            str(k),
            shape,
            f"row {k}",
            k,
            boxes=None if boxes is None else np.zeros(boxes[k], np.float32),
            regions=None if counts is None else counts[k],
        )
        for k, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize(
    ("some", "shape"),
    [
        (entries((2048,), (2048,)), (2048,)),
        (entries((36, 2048), (36, 2048)), (36, 2048)),
        (entries((2048, 36), (2048, 36)), (36, 2048)),
        (entries((300, 64), (10, 64)), (300, 64)),
        (entries((64, 300), (64, 10)), (300, 64)),
        (entries((5, 3), boxes=[(3, 4)]), (3, 5)),
        (entries((5, 3), boxes=[(5, 4)]), (5, 3)),
        (entries((5, 3), boxes=[(4, 3)]), (3, 5)),
        (entries((5, 3), (5, 3), counts=[5, 2]), (5, 3)),
        (entries((1, 3, 500), (1, 3, 500)), (3, 500)),
        (entries((1, 3, 5), (1, 1, 5)), (3, 5)),
        (entries((512, 1, 1), (512, 1, 1)), (512,)),
        (entries((2048, 7, 7)), (49, 2048)),
        (entries((7, 9, 2048)), (63, 2048)),
        (entries((256, 7, 9), (256, 9, 7)), (63, 256)),
    ],
)
def test_shapes_that_leave_one_reading_are_read(some: list[Entry], shape: Shape) -> None:
    assert find_layout(some, "auto", "a.h5").shape(some[0].shape) == shape


@pytest.mark.parametrize(
    "some",
    [
        entries((5, 3), (5, 3)),
        entries((577, 512)),
        entries((512, 577)),
        entries((32, 49)),
        entries((1, 3, 5), (1, 3, 5)),
        entries((6, 6), boxes=[(6, 4)]),
        entries((16, 16, 16)),
        entries((5, 3), (5, 3), counts=[3, 2]),
        entries((297, 3), (300, 3)),
        entries((3, 297), (3, 300)),
        entries((300, 3), (297, 2)),
    ],
)
def test_shapes_with_two_readings_are_asked_for(some: list[Entry]) -> None:
    with pytest.raises(InputError, match=r"a\.h5: features .* may be .* or .*; say which with --axes"):
        find_layout(some, "auto", "a.h5")


@pytest.mark.parametrize(
    ("axes", "stored", "shape"),
    [("rd", (5, 3), (5, 3)), ("dr", (5, 3), (3, 5)), ("hwd", (2, 3, 4), (6, 4)), ("dhw", (4, 2, 3), (6, 4))],
)
def test_axes_that_are_given_move_each_number_to_its_place(axes: Axes, stored: Shape, shape: Shape) -> None:
    layout = find_layout(entries(stored), axes, "a.h5")
    array = np.arange(np.prod(stored)).reshape(stored)
    arranged = layout.arrange(array)
    assert arranged.shape == shape
    turned = array if axes in ("rd", "hwd") else np.moveaxis(array, 0, -1)
    np.testing.assert_array_equal(arranged.ravel(), turned.ravel())


@pytest.mark.parametrize(
    ("some", "axes", "words"),
    [
        (entries((3, 4), (4,)), "auto", r"row 1: features \[4\] beside \[3, 4\]"),
        (entries((3, 4), boxes=[(7, 4)]), "auto", r"row 0: boxes \[7, 4\] beside features \[3, 4\]"),
        (entries((3, 4), counts=[5]), "auto", r"row 0: 5 beside features \[3, 4\]"),
        (entries((3, 4)), "hwd", "contradict --axes hwd; expected rd or dr"),
        (entries((2, 3, 4, 5)), "auto", "expected .regions, dimensions."),
    ],
)
def test_shapes_without_a_reading_are_refused(some: list[Entry], axes: Axes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_layout(some, axes, "a.h5")


def test_what_was_decided_is_said_unless_it_is_usual(capsys: pytest.CaptureFixture[str]) -> None:
    find_layout(entries((36, 2048)), "auto", "a.h5")
    assert capsys.readouterr().out == ""
    find_layout(entries((2048, 36)), "auto", "a.h5")
    assert "features [2048, 36] an image are read as [dimensions, regions]" in capsys.readouterr().out


def test_four_boxes_are_turned_as_those_of_other_images_are() -> None:
    stored = [np.arange(4.0 * n).reshape(4, n).astype(np.float32) for n in (4, 3)]
    some = [Entry(str(k), (7, n), "", k, boxes=stored[k]) for k, n in enumerate((4, 3))]
    arranged = arrange_boxes(some, Layout("dr", ()))
    for entry, boxes in zip(arranged, stored, strict=True):
        np.testing.assert_array_equal(entry.boxes, boxes.T)
    with pytest.raises(InputError, match="no boxes, but other images have them"):
        arrange_boxes([some[0], some[1]._replace(boxes=None)], Layout("dr", ()))
