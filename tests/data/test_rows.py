"""Rows made into splits: grouped, counted, and what is left out named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vse.data.rows import CaptionRow, Draw, relative_names, to_splits, whole_number
from vse.errors import InputError


def row(
    name: str, *captions: str, split: str | None = "train", image_id: int | None = None, line: int = 1
) -> CaptionRow:
    return CaptionRow(name, list(captions), f"captions.csv, line {line}", split, image_id)


def splits_of(*rows: CaptionRow, images: Path = Path("images"), **options: object):  # type: ignore[no-untyped-def]
    return to_splits(rows, images, (Path("captions.csv"),), Draw(), **options)  # type: ignore[arg-type]


def test_captions_of_an_image_come_together() -> None:
    train = splits_of(row("b", "1"), row("a", "2"), row("b", "3"))["train"]
    assert train.names == ["b", "a"]
    assert train.captions == ["1", "3", "2"]
    assert train.caption_image.tolist() == [0, 0, 1]
    assert train.ids.tolist() == [0, 1]


def test_ids_are_the_sources_where_every_image_has_its_own() -> None:
    assert splits_of(row("b", "1", image_id=9), row("a", "2", image_id=4))["train"].ids.tolist() == [9, 4]


def test_ids_of_some_images_alone_are_not_used_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert splits_of(row("b", "1", image_id=9), row("a", "2"))["train"].ids.tolist() == [0, 1]
    assert (
        "1 images have no whole number as id, so that ids are places in the list instead: a" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("0007", 7), (" 7.0 ", 7), ("7.5", None), ("x7", None)])
def test_whole_numbers_are_read_as_tables_write_them(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_what_has_no_text_is_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    train = splits_of(row("b", "1", " "), row("a", "", line=7), row("c", "2"))["train"]
    assert train.names == ["b", "c"]
    warned = capsys.readouterr().err
    assert "2 captions without text left out: b (line 1), a (line 7)" in warned
    assert "1 images without captions left out: a" in warned


def test_only_the_first_ten_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    splits_of(row("kept", "1"), *(row(f"p{k}", "") for k in range(12)))
    assert "12 images without captions left out: p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, ..." in capsys.readouterr().err


def test_images_of_no_split_are_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    train = splits_of(row("a", "1", split=None), row("b", "2", split=None), split_of={"a": "train"}.get)["train"]
    assert train.names == ["a"]
    assert "1 images that are in no split left out: b" in capsys.readouterr().err


def test_splits_are_drawn_where_none_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(f"p{k}", "x", split=None) for k in range(40)]
    splits = to_splits(rows, Path("images"), (Path("c.csv"),), Draw(dev=3, seed=5))
    assert {name: len(split.names) for name, split in splits.items()} == {"train": 33, "dev": 3, "test": 4}
    assert splits["dev"].by == {"dev": 3, "test": 4, "seed": 5}
    assert "3 dev and 4 test images drawn with seed 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([row("a", "1"), row("a", "2", split="dev", line=3)], "line 3: a is in two splits, train in .* line 1"),
        ([row("../a", "1")], "leads out"),
        ([row(" ", "1")], "line 1: no file name"),
        ([row("a", "1", image_id=9), row("b", "2", image_id=9, line=2)], "line 2: b has the id 9, as a has"),
        ([row("a", "1", image_id=9), row("a", "2", image_id=8, line=2)], "line 2: a has the id 8, but 9 in .* line 1"),
        ([row("a", "")], "lists no image with a caption"),
        ([row("a", "b\0c")], "line 1: the caption .* holds a NUL"),
        ([row("a", "\ud800")], "half a character"),
    ],
)
def test_rows_that_contradict_are_refused(rows: list[CaptionRow], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        splits_of(*rows)


def test_a_list_of_images_has_each_image_once() -> None:
    with pytest.raises(InputError, match=r"line 2: a is listed twice, first in captions\.csv, line 1"):
        splits_of(row("a", "1"), row("a", "2", line=2), once=True)


@pytest.mark.parametrize(
    ("names", "there", "expected"),
    [
        (["x/a.jpg", "x/b.jpg"], ["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
        (["x/a.jpg", "x/b.jpg"], ["x/a.jpg", "x/b.jpg", "a.jpg", "b.jpg"], ["x/a.jpg", "x/b.jpg"]),
        (["x/y/a.jpg", "x/y/b.jpg"], ["y/a.jpg", "y/b.jpg"], ["y/a.jpg", "y/b.jpg"]),
        (["x/a.jpg", "y/a.jpg"], ["a.jpg"], ["x/a.jpg", "y/a.jpg"]),
        (["data/images/a.jpg"], [], ["a.jpg"]),
        (["photos/a.jpg"], [], ["photos/a.jpg"]),
        (["a.jpg"], [], ["a.jpg"]),
    ],
)
def test_a_folder_before_all_names_goes_if_pictures_say_so(
    tmp_path: Path, names: list[str], there: list[str], expected: list[str]
) -> None:
    images = tmp_path / "images"
    for name in there:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    assert relative_names(names, images, Path("captions.csv")) == expected
