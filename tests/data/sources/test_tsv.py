"""Bottom-up attention's table, as several extractors write it, whole or damaged."""

from __future__ import annotations

import base64
import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.sources.examples import IDS, boxes, check, collected, features, line, write_tsv
from vse.data.sources.tsv import TsvSource
from vse.errors import InputError


def write(path: Path, text: str) -> TsvSource:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return TsvSource(path)


def test_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    check(collected(TsvSource(write_tsv(tmp_path / "a.tsv"))))


def test_marks_and_blanks_around_an_id_are_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("\ufeff" + line(" a.jpg ", features(1)) + line("b.jpg", features(2)), encoding="utf-8")
    images = collected(TsvSource(path))
    assert [entry.image for entry in images.entries] == ["a.jpg", "b.jpg"]
    np.testing.assert_array_equal(images.read(1), features(2))


def test_bytes_that_python_3_wrote_as_text_are_read(tmp_path: Path) -> None:
    lines = [line(image, features(image), boxes(image)).rstrip("\n").split("\t") for image in IDS]
    text = "".join("\t".join([*fields[:4], f"b'{fields[4]}'", f"b'{fields[5]}'"]) + "\n" for fields in lines)
    check(collected(write(tmp_path / "a.tsv", text)))


def test_columns_are_known_by_their_number_or_first_line(tmp_path: Path) -> None:
    lines = [line(image, features(image), boxes(image)).rstrip("\n").split("\t") for image in IDS]
    ten = "".join("\t".join([i, h, w, "x", "x", "x", "x", n, b, f]) + "\n" for i, w, h, n, b, f in lines)
    check(collected(write(tmp_path / "lxmert.tsv", ten)))
    titled = "features\timg_id\tnum_boxes\tboxes\timg_w\timg_h\n"
    titled += "".join("\t".join([f, i, n, b, w, h]) + "\n" for i, w, h, n, b, f in lines)
    check(collected(write(tmp_path / "titled.tsv", titled)))


def test_columns_may_be_named(tmp_path: Path) -> None:
    lines = [line(image, features(image)).rstrip("\n").split("\t") for image in IDS]
    text = "".join("\t".join([n, "what", f, i]) + "\n" for i, _, _, n, _, f in lines)
    write(tmp_path / "a.tsv", text)
    images = collected(TsvSource(tmp_path / "a.tsv", "num_boxes,other,features,image_id"))
    check(images, with_boxes=False)
    with pytest.raises(InputError, match="--fields image_id,features"):
        TsvSource(tmp_path / "a.tsv", "image_id,features")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_precisions_are_found_out(tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(line(image, features(image, dtype=dtype), boxes(image)) for image in IDS)
    images = collected(write(tmp_path / "a.tsv", text))
    np.testing.assert_array_equal(images.read(2), features(IDS[2], dtype=dtype))
    assert images.entries[0].boxes is not None
    np.testing.assert_array_equal(images.entries[0].boxes, boxes(IDS[0]))
    assert f"features are {dtype}" in capsys.readouterr().out


def test_boxes_and_features_may_both_be_float64(tmp_path: Path) -> None:
    text = "".join(line(image, features(image, dtype="float64"), boxes(image).astype(np.float64)) for image in IDS)
    images = collected(write(tmp_path / "a.tsv", text))
    np.testing.assert_array_equal(images.read(1), features(IDS[1], dtype="float64"))
    np.testing.assert_array_equal(images.boxes(1), boxes(IDS[1]))


def test_precision_that_bytes_do_not_tell_is_asked_for(tmp_path: Path) -> None:
    text = "".join(line(image, np.full((3, 4), image, np.float16)) for image in (1, 2, 3))
    with pytest.raises(InputError, match=r"float16 or float32.*--dtype_in"):
        collected(write(tmp_path / "a.tsv", text))
    images = collected(TsvSource(tmp_path / "a.tsv", dtype="float16"))
    assert (images.read(2) == 3).all()


def test_a_cut_line_is_passed_over_if_its_image_comes_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(image, features(image), boxes(image)) for image in IDS]
    images = collected(write(tmp_path / "a.tsv", lines[1][:-7] + "\n" + lines[2][:20] + "\n" + "".join(lines)))
    check(images)
    assert images.faulty == ["4", "90"]
    assert "2 lines that were cut off are passed over, their images come again whole: 4, 90" in capsys.readouterr().out


def test_tables_are_read_without_the_fast_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "pybase64":
            raise ImportError(name)
        return importing(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    check(collected(TsvSource(write_tsv(tmp_path / "a.tsv"))))
    whole = (tmp_path / "a.tsv").read_text()
    with pytest.raises(InputError, match=r"line 5: features are not base64"):
        collected(write(tmp_path / "a.tsv", whole[:-10] + "!" + whole[-9:])).read(4)


def damaged_lines() -> dict[str, tuple[str, str]]:
    good, other = line(1, features(1)), line(2, features(2))
    fields = good.rstrip("\n").split("\t")

    def change(place: int, value: str) -> str:
        return "\t".join([*fields[:place], value, *fields[place + 1 :]]) + "\n"

    turned = boxes(2)[:, [2, 3, 0, 1]]
    return {
        "cut in the middle of a field": (good + other[:-30], "line 2: features are not base64 of numbers for 3"),
        "cut between fields": (good + "\t".join(other.split("\t")[:4]), "line 2: 4 fields; expected 6"),
        "two lines in one": (good.rstrip("\n") + other, "line 1: 11 fields; expected 6"),
        "wrong padding": (change(5, fields[5] + "="), "line 1: features are not base64"),
        "not whole numbers": (change(5, base64.b64encode(b"abcde").decode()), "line 1: features are not base64"),
        "other number of boxes": (change(3, "5"), "line 1: boxes are not base64 of numbers for 5 regions"),
        "no boxes": (change(3, "0"), "line 1: 0 boxes"),
        "minus one box": (change(3, "-1"), "line 1: -1 boxes"),
        "no features": (change(5, ""), "line 1: features are not base64"),
        "no number": (change(3, "many"), "line 1: sizes and number of boxes must be numbers"),
        "no id": (change(0, ""), "line 1: no image id"),
        "id of other bytes": (change(0, "\udcff"), "line 1: image id is not UTF-8"),
        "image without pixels": (change(1, "0"), "line 1: image of 0 x 480 pixels"),
        "boxes turned over": (good + line(2, features(2), turned), "line 2: a box with NaN or"),
        "another size": (good + line(2, features(2, 3, 5)), r"line 2: features \[3, 5\] after \[3, 4\]"),
        "empty line": (good + "\n" + other, "line 2: 1 fields"),
        "no table": ("a,b\nc,d\n", "line 1: 1 fields; expected 6"),
        "empty": ("", "a.tsv: holds no features"),
    }


@pytest.mark.parametrize("case", damaged_lines())
def test_damaged_tables_are_refused_with_their_line(tmp_path: Path, case: str) -> None:
    text, complaint = damaged_lines()[case]
    with pytest.raises(InputError, match=complaint) as refused:
        collected(write(tmp_path / "a.tsv", text))
    assert "\n" not in str(refused.value)


def test_wrong_letters_are_refused_with_their_line(tmp_path: Path) -> None:
    text = line(1, features(1))
    with pytest.raises(InputError, match="line 1: features are not base64"):
        collected(write(tmp_path / "a.tsv", text[:-10] + "****" + text[-6:])).read(0)
