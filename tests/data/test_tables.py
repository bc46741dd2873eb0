"""Caption tables in the forms that people download: read whole, or refused with the line."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.drawn import DRAWS
from vse.data.tables import read_table, split_lists
from vse.errors import InputError


def table(folder: Path, text: str, name: str = "captions.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def pairs(path: Path) -> list[tuple[str, str]]:
    return [(row.name, caption) for row in read_table(path).rows for caption in row.captions]


PAIRS = [("a.jpg", "A dog , running ."), ("a.jpg", 'A "big" dog'), ("b c.png", "two; cats | asleep")]

FORMS = {
    "token": "".join(f"{name}#{k}\t{caption}\n" for k, (name, caption) in enumerate(PAIRS)),
    "tabs": "filepath\ttitle\n" + "".join(f"{name}\t{caption}\n" for name, caption in PAIRS),
    "comma": 'image,caption\na.jpg,"A dog , running ."\na.jpg,"A ""big"" dog"\nb c.png,two; cats | asleep\n',
    "blanks": 'image, caption\na.jpg, "A dog , running ."\na.jpg, "A ""big"" dog"\nb c.png, "two; cats | asleep"\n',
    "semicolon": 'caption;image\nA dog , running .;a.jpg\n"A ""big"" dog";a.jpg\n"two; cats | asleep";b c.png\n',
    "upper": 'IMAGE,Caption\na.jpg,"A dog , running ."\na.jpg,"A ""big"" dog"\nb c.png,two; cats | asleep\n',
    "byte order mark": '\ufeffimage,caption\r\na.jpg,"A dog , running ."\r\na.jpg,"A ""big"" dog"\r\n'
    "b c.png,two; cats | asleep\r\n",
    "lists": "raw,split,filename\n"
    + '"[""A dog , running ."", ""A \\""big\\"" dog""]",train,a.jpg\n"[""two; cats | asleep""]",test,b c.png\n',
    "further columns": 'id,image,caption,url\n1,a.jpg,"A dog , running .",x\n2,a.jpg,"A ""big"" dog",y\n'
    "3,b c.png,two; cats | asleep,z\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_every_caption_its_picture(tmp_path: Path, form: str) -> None:
    assert pairs(table(tmp_path, FORMS[form])) == PAIRS


def test_kaggles_results_lack_one_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "image_name| comment_number| comment\na.jpg| 0| A dog .\na.jpg| 4   A dog runs across the grass .\n"
    path = table(tmp_path, text, "results.csv")
    assert pairs(path) == [("a.jpg", " A dog ."), ("a.jpg", "A dog runs across the grass .")]
    printed = capsys.readouterr().out
    assert "line 3: the second bar is missing" in printed
    assert "2 rows, separated by bars; image from 'image_name', caption from 'comment'" in printed


def test_splits_and_ids_are_read_from_their_columns(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "img_id,filename,raw,Split\n7,a.jpg,x,Validation\n9,b.jpg,y,train\n"))
    assert found.has_splits
    assert [(row.split, row.image_id) for row in found.rows] == [("dev", 7), ("train", 9)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,words\na,b\n", r"line 1: columns \['file', 'words'\]"),
        ("", "line 1"),
        ("a.jpg,a dog\nb.jpg,a cat\n", "line 1: .* seems to be a row"),
        ("image,caption\na.png,one,two\n", "line 2: 3 fields, the first line has 2; put captions"),
        ("image,caption,split\na.png,x,holdout\n", "line 2: unknown split 'holdout'"),
        ("image\tcaption\na.png\tone\ttwo\n", "line 2: 3 fields, the first line has 2; mend"),
        ("a.jpg#0\tone\na.jpg two\n", "line 2: 'a.jpg two' is not NAME#NUMBER"),
        ("filepath,filename,caption\nx,a.jpg,one\n", "columns filepath, filename may each be the image"),
        ("image,title,text\na.jpg,one,two\n", "columns title, text may each be the caption"),
        ('image,caption\na.jpg,"one\n', "line 2: unexpected end of data"),
        ('image,caption\na.jpg,"one" two\n', "line 2: ',' expected after '\"'"),
        ('image,caption\na.jpg,"one\nb.jpg,two\nc.jpg,three"\n', "line 2: the quote mark .* before line 3"),
        ('image;caption\na.jpg;"one\nb.jpg;two"\n', "line 2: the quote mark .* before line 3"),
        ('raw,filename\n"[""x""]",a.jpg\ny,b.jpg\n', "line 3: 'y' is not a list of captions"),
        ('"image"\t"caption"\n"a.jpg"\t"one"\n', "line 2: its fields are in quotes, which mean nothing between tabs"),
        ("image,caption\na.png,\xff\n", "not valid UTF-8"),
    ],
)
def test_damaged_tables_are_refused_with_their_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=complaint) as refused:
        read_table(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_the_exact_name_of_a_column_decides(tmp_path: Path) -> None:
    assert pairs(table(tmp_path, "path,image,title,caption\nx,a.jpg,no,yes\n")) == [("a.jpg", "yes")]


def test_a_quote_mark_is_no_mark_in_tables_of_tabs(tmp_path: Path) -> None:
    text = 'image\tcaption\na.jpg\t"Cheese" says the man\nb.jpg\t"begins\nc.jpg\tends"\n'
    assert pairs(table(tmp_path, text, "c.tsv"))[1:] == [("b.jpg", '"begins'), ("c.jpg", 'ends"')]


def test_captions_of_several_lines_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs(table(tmp_path, 'image,caption\na.jpg,"one\ntwo"\nb.jpg,three\n'))[0] == ("a.jpg", "one\ntwo")
    assert "1 captions go over several lines" in capsys.readouterr().out


def official_lists(folder: Path, **lists: str) -> None:
    for name, text in lists.items():
        (folder / f"Flickr_8k.{name}Images.txt").write_text(text)


def test_official_lists_give_the_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, "a.jpg#0\tone\nb.jpg#0\ttwo\nc.jpg#0\tthree\n", "Flickr8k.token.txt")
    official_lists(tmp_path, train="a.jpg\nz.jpg\n", dev="b.jpg\n")
    (tmp_path / "train.txt").write_text("notes about something else\n")
    split_of, files = split_lists(path, read_table(path).rows)
    assert split_of is not None
    assert [split_of(name) for name in ("a.jpg", "b.jpg", "c.jpg")] == ["train", "dev", None]
    assert [file.name for file in files] == ["Flickr_8k.devImages.txt", "Flickr_8k.trainImages.txt"]
    assert "1 pictures without captions in Flickr8k.token.txt left out: z.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "lines", "expected"),
    [
        (["x/1.jpg", "y/1.jpg"], "x/1.jpg\n", ["train", None]),
        (["x/1.jpg", "y/1.jpg"], "y/1\n", [None, "train"]),
        (["1.jpg", "1.png"], "1.png\n", [None, "train"]),
        (["1.jpg", "2.jpg"], "images/1.jpg\n", ["train", None]),
        (["x/1.jpg", "2.jpg"], "1\n", ["train", None]),
        (["x/1.jpg", "2.jpg"], "y/1.jpg\n2.jpg\n", [None, "train"]),
    ],
)
def test_lists_tell_pictures_apart_by_their_whole_names(
    tmp_path: Path, names: list[str], lines: str, expected: list[str | None]
) -> None:
    path = table(tmp_path, "".join(f"{name}#0\tone\n" for name in names), "c.token")
    (tmp_path / "train.txt").write_text(lines)
    split_of, _ = split_lists(path, read_table(path).rows)
    assert split_of is not None
    assert [split_of(name) for name in names] == expected


def test_a_line_that_may_be_two_pictures_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "x/1.jpg#0\tone\ny/1.jpg#0\ttwo\n", "c.token")
    (tmp_path / "train.txt").write_text("1.jpg\n")
    with pytest.raises(InputError, match=r"1\.jpg may be x/1\.jpg or y/1\.jpg; write the whole name"):
        split_lists(path, read_table(path).rows)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"PK\x03\x04\xff", "a spreadsheet"),
        (b"\x1f\x8b\x08", "gzip"),
        ("image,caption\n".encode("utf-16"), "UTF-16"),
        (b"a.jpg#0 one\n", "needs a tab before its caption"),
    ],
)
def test_files_that_are_no_tables_are_called_what_they_are(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_table(tmp_path / "c.csv")


def test_excels_note_of_the_separator_is_no_row(tmp_path: Path) -> None:
    assert pairs(table(tmp_path, "sep=;\r\nimage;caption\r\na.jpg;one\r\n")) == [("a.jpg", "one")]


def test_lists_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a.jpg#0\tone\nb.jpg#0\ttwo\n", "Flickr8k.token.txt")
    rows = read_table(path).rows
    official_lists(tmp_path, train="a.jpg\n", dev="a\n")
    with pytest.raises(InputError, match=r"a\.jpg is in the list of dev as well"):
        split_lists(path, rows)
    official_lists(tmp_path, dev="b.jpg\n")
    (tmp_path / "train.txt").write_text("b\n")
    with pytest.raises(InputError, match="a second list of train pictures"):
        split_lists(path, rows)


# Random tables against an independent reading

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,8}", fullmatch=True).map(lambda stem: f"{stem.strip()}.jpg")

CAPTIONS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\u2028\u2029"), min_size=1, max_size=30
).filter(lambda text: text.strip() != "" and not text.strip().startswith("["))


@st.composite
def drawn_tables(draw: st.DrawFn) -> tuple[str, str, list[tuple[str, str]]]:
    """Form, text of the table, and what it holds."""
    form = draw(st.sampled_from(["token", "\t", "|", ",", ";", "json"]))
    rows = draw(st.lists(st.tuples(NAMES, CAPTIONS), min_size=1, max_size=12))
    random.Random(draw(st.integers())).shuffle(rows)
    if form in "\t|":
        rows = [(name, caption.replace(form, " ")) for name, caption in rows]
        rows = [(name, caption) for name, caption in rows if caption.strip()] or [("a.jpg", "x")]
    header = [draw(st.sampled_from(["image", "FileName", " filepath"])), draw(st.sampled_from(["caption", "Title"]))]
    turned = draw(st.booleans())
    if form == "token":
        return form, "".join(f"{name}#{k}\t{caption}\n" for k, (name, caption) in enumerate(rows)), rows
    if form == "json":
        return form, json.dumps([{"image": name, "caption": caption} for name, caption in rows]), rows
    lines = [header, *([name, caption] for name, caption in rows)]
    if turned:
        lines = [line[::-1] for line in lines]
    if form in "\t|":
        return form, "".join(form.join(line) + "\n" for line in lines), rows
    written = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(written, delimiter=form, quoting=quoting, lineterminator="\n").writerows(lines)
    return form, written.getvalue(), rows


@settings(
    max_examples=DRAWS or 100,
    derandomize=not DRAWS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn_tables())
def test_drawn_tables_pair_as_they_were_written(tmp_path: Path, drawn: tuple[str, str, list[tuple[str, str]]]) -> None:
    from vse.data.listings import read_pictures

    form, text, rows = drawn
    path = tmp_path / ("table_test.json" if form == "json" else "table_test.csv")
    path.write_text(text, encoding="utf-8", newline="")
    test = read_pictures(path, tmp_path / "images")["test"]
    expected: dict[str, list[str]] = {}
    for name, caption in rows:
        expected.setdefault(name.strip(), []).append(" ".join(caption.split()))
    found: dict[str, list[str]] = {name: [] for name in test.names}
    for caption, image in zip(test.captions, test.caption_image.tolist(), strict=True):
        found[test.names[image]].append(caption)
    assert found == expected
