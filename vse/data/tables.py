"""Caption tables: Flickr's .token files, comma, semicolon, tab and bar separated tables, and lists of splits."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vse.console import say
from vse.data.pictures import SPLITS, left_out, split_name, with_slashes
from vse.data.rows import CaptionRow, SplitOf, whole_number
from vse.errors import InputError
from vse.files import read_bytes

IMAGE = "image"
CAPTION = "caption"
COLUMNS = {
    IMAGE: "image image_name image_path image_file filename file_name filepath file_path img img_name img_path",
    CAPTION: "caption captions caption_text title text comment raw sentence sentences description",
    "split": "split set subset partition",
    "id": "image_id img_id imgid cocoid",
}
"""What a column holds -> names that it bears in public tables, the most exact one first."""

SEPARATORS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas"}

UNQUOTED = "\t|"
"""Separators of tables in which a quote mark is a character like any other."""

OTHER_FILES = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a spreadsheet or another ZIP archive",
    b"\x1f\x8b": "compressed by gzip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""First bytes of files that are no table of text in UTF-8."""

TOKEN_LINE = re.compile(r"(.+)#(\d+)\t(.*)")
"""A line of Flickr8k.token.txt or results_20130124.token: picture, number of the caption, caption."""

MISSING_BAR = re.compile(r"\s*(\d+)\s+(\S.*)")
"""What follows the picture in the row of Kaggle's results.csv that lacks its second bar: number and caption."""

PICTURE = re.compile(r".+\.(jpe?g|png|gif|bmp|tiff?|webp|ppm)", re.IGNORECASE)

SPLIT_LIST = re.compile(r"(?:.*[._-])?(train|dev|val|test)(?:images)?\.txt", re.IGNORECASE)
"""Names of split lists: Flickr_8k.trainImages.txt, train.txt."""


class Table(NamedTuple):
    """The rows of a table, and whether they name splits."""

    rows: list[CaptionRow]
    has_splits: bool


def read_table(file: Path) -> Table:
    """Read a table of images and captions and say how it was read.

    A `.token` file has lines `NAME#K<TAB>CAPTION`. Any other table begins with the names of its columns (`COLUMNS`), in
    any case. Fields are separated by tabs or bars, and then never quoted, or by commas or semicolons, quoted by the
    rules of CSV. A column of JSON lists holds all captions of an image.

    Raises:
        InputError: the line that cannot be read in one way only.
    """
    text = _read_text(file)
    first = text.lstrip("\n").partition("\n")[0]
    if TOKEN_LINE.fullmatch(first):
        return Table(_token_rows(text, file), False)
    separator, columns = _header(first, file)
    unquoted = separator in UNQUOTED
    records = list(_unquoted(text, separator, columns, file) if unquoted else _quoted(text, separator, file))
    names = records[0].fields
    places = _places(names, file)
    rows = []
    for number, fields in records[1:]:
        where = f"{file}, line {number}"
        if len(fields) != len(names):
            remedy = "mend the line"
            if not unquoted:
                remedy = f"put captions that contain {SEPARATORS[separator]} in quotes"
            raise InputError(f"{where}: {len(fields)} fields, the first line has {len(names)}; {remedy}")
        split = split_name(fields[places["split"]], where) if "split" in places else None
        image_id = fields[places["id"]].strip() if "id" in places else ""
        rows.append(
            CaptionRow(
                fields[places[IMAGE]].strip(),
                [fields[places[CAPTION]]],
                where,
                split,
                whole_number(image_id),
            )
        )
    if unquoted and rows and all(_is_quoted(row.name) for row in rows):
        raise InputError(
            f"{file}, line 2: its fields are in quotes, which mean nothing between {SEPARATORS[separator]}; save the "
            "table without them, or with commas"
        )
    listed = _read_lists(rows, file)
    read = ", ".join(f"{what} from {names[place].strip()!r}" for what, place in places.items())
    say(f"{file}: {len(rows)} rows, separated by {SEPARATORS[separator]}; {read}" + (", lists of captions" * listed))
    return Table(rows, "split" in places)


def _read_text(file: Path) -> str:
    try:
        content = read_bytes(file)
    except OSError as problem:
        raise InputError(f"{file}: cannot be read ({problem.strerror}); expected a caption table") from None
    kind = next((kind for head, kind in OTHER_FILES.items() if content.startswith(head)), None)
    if kind is not None:
        raise InputError(f"{file}: {kind}; expected text, save the table as UTF-8 with commas or tabs")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise InputError(
            f"{file}, line {line}: byte {problem.start} is not valid UTF-8; convert the file: iconv -f WINDOWS-1252 "
            "-t UTF-8, if that is its encoding"
        ) from None
    text = text.replace("\r\n", "\n")
    text = text if "\n" in text else text.replace("\r", "\n")
    return re.sub(r"\A\s*sep=[,;|\t]\n", "\n", text)  # Excel's note of the separator


def _token_rows(text: str, file: Path) -> list[CaptionRow]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        parts = TOKEN_LINE.fullmatch(line)
        if parts is None:
            raise InputError(f"{file}, line {number}: {line[:40]!r} is not NAME#NUMBER, a tab and a caption; mend it")
        rows.append(CaptionRow(parts[1], [parts[3]], f"{file}, line {number}"))
    say(f"{file}: {len(rows)} rows NAME#NUMBER, tab, caption")
    return rows


# Columns


def _header(line: str, file: Path) -> tuple[str, int]:
    """Find the separator with which the first line names an image and a caption column -> it, number of columns."""
    read = {}
    for separator in SEPARATORS:
        names = _fields(line, separator)
        if any(name in _synonyms(IMAGE) for name in names) and any(name in _synonyms(CAPTION) for name in names):
            read[separator] = len(names)
    if len(read) == 1:
        return next(iter(read.items()))
    columns = max((_fields(line, separator) for separator in SEPARATORS), key=len)
    advice = ""
    if PICTURE.fullmatch(columns[0]):
        advice = "; the line seems to be a row, put the names of the columns before it"
    elif re.match(r".+#\d+ ", line):
        advice = "; a line NAME#NUMBER needs a tab before its caption"
    raise InputError(
        f"{file}, line 1: columns {columns}; expected image (or filename, filepath, ...), caption (or title, text, "
        f"comment, ...) and perhaps split{advice}"
    )


def _fields(line: str, separator: str) -> list[str]:
    if separator in UNQUOTED:
        fields = line.split(separator)
    else:
        if len(line) > csv.field_size_limit():
            return [line]
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return [re.sub(r"[\s-]+", "_", field.strip().strip('"').lower()) for field in fields]


def _synonyms(what: str) -> list[str]:
    return COLUMNS[what].split()


def _places(header: Sequence[str], file: Path) -> dict[str, int]:
    """Find the column of each kind; of several the one with the exact name."""
    names = [re.sub(r"[\s-]+", "_", name.strip().strip('"').lower()) for name in header]
    places = {}
    for what in COLUMNS:
        found = [place for place, name in enumerate(names) if name in _synonyms(what)]
        exact = [place for place in found if names[place] == _synonyms(what)[0]]
        found = exact if len(exact) == 1 else found
        if len(found) > 1 and what != "id":
            several = ", ".join(header[place].strip() for place in found)
            raise InputError(f"{file}, line 1: columns {several} may each be the {what}; name the right one {what!r}")
        if len(found) == 1:
            places[what] = found[0]
    return places


# Rows


class Record(NamedTuple):
    """The fields of a row and the line on which it begins."""

    line: int
    fields: list[str]


def _unquoted(text: str, separator: str, columns: int, file: Path) -> Iterator[Record]:
    mended = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        fields = line.split(separator)
        if separator == "|" and (columns, len(fields)) == (3, 2) and (parts := MISSING_BAR.fullmatch(fields[1])):
            fields = [fields[0], parts[1], parts[2]]
            mended.append(str(number))
        yield Record(number, fields)
    if mended:
        say(f"{file}, line {', '.join(mended)}: the second bar is missing; read as number and caption")


def _quoted(text: str, separator: str, file: Path) -> Iterator[Record]:
    lines = text.split("\n")
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, skipinitialspace=True, strict=True)
    before = columns = long = 0
    try:
        for fields in reader:
            first, before = before + 1, reader.line_num
            if not any(field.strip() for field in fields):
                continue
            columns = columns or len(fields)
            for inner in range(first, before):
                swallowed = next(csv.reader([lines[inner]], delimiter=separator), [])
                if len(swallowed) == columns and any(PICTURE.fullmatch(field.strip()) for field in swallowed):
                    raise InputError(
                        f"{file}, line {first}: the quote mark that begins here is not closed before line {inner + 1}, "
                        "which is a row; write the quote marks of a caption twice, and put it in quotes"
                    )
            long += before > first
            yield Record(first, fields)
    except csv.Error as problem:
        raise InputError(
            f"{file}, line {before + 1}: {problem}; write the quote marks of a caption twice, and put it in quotes"
        ) from None
    if long:
        say(f"{file}: {long} captions go over several lines, which are joined")


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"'


def _read_lists(rows: list[CaptionRow], file: Path) -> bool:
    """Take captions that are lists of captions apart, if all are."""
    lists = [_list_of(row.captions[0].strip()) for row in rows]
    if all(texts is None for texts in lists):
        return False
    for row, texts in zip(rows, lists, strict=True):
        if texts is None:
            raise InputError(f"{row.where}: {row.captions[0][:40]!r} is not a list of captions, as other rows have")
        row.captions = texts
    return True


def _list_of(text: str) -> list[str] | None:
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and value and all(isinstance(caption, str) for caption in value):
            return value
    return None


# Lists of splits


def split_lists(table: Path, rows: Sequence[CaptionRow]) -> tuple[SplitOf | None, tuple[Path, ...]]:
    """Read the lists of pictures beside a table that names no splits, such as Flickr_8k.trainImages.txt.

    A list has a picture a line, with or without its suffix. A list that names none of the table's pictures is not one.

    Returns:
        name of an image -> its split; and the files. None and () where there are no lists.

    Raises:
        InputError: two lists of one split, or a picture in two of them.
    """
    names = _Names(rows)
    split_of: dict[str, str] = {}
    files: dict[str, Path] = {}
    for path in sorted(table.parent.glob("*.txt")):
        kind = SPLIT_LIST.fullmatch(path.name)
        if kind is None or path == table:
            continue
        lines = [line.strip() for line in _read_text(path).split("\n") if line.strip()]
        listed = {line: names.find(line, path) for line in lines}
        if not any(listed.values()):
            continue
        split = SPLITS[kind[1].lower()]
        if split in files:
            raise InputError(f"{path}: a second list of {split} pictures beside {files[split].name}; keep one of them")
        files[split] = path
        unknown = [line for line, name in listed.items() if name is None]
        if unknown:
            left_out(path, f"pictures without captions in {table.name}", unknown)
        for line, name in listed.items():
            if name is not None and split_of.setdefault(name, split) != split:
                raise InputError(f"{path}: {line} is in the list of {split_of[name]} as well; choose one")
    if not files:
        return None, ()
    say(f"{table}: splits of {', '.join(path.name for path in files.values())}")
    return split_of.get, tuple(files.values())


class _Names:
    """Names of a table's images, found by a line of a split list: the whole name, or one that is the end of the other.

    A line may lack the suffix of the picture.
    """

    def __init__(self, rows: Sequence[CaptionRow]) -> None:
        self.whole: dict[str, set[str]] = {}
        self.ends: dict[str, set[str]] = {}
        for name in {with_slashes(row.name) for row in rows}:
            for end in _ends(name):
                for form in (end, _without_suffix(end)):
                    self.ends.setdefault(form, set()).add(name)
            for form in (name, _without_suffix(name)):
                self.whole.setdefault(form, set()).add(name)

    def find(self, line: str, path: Path) -> str | None:
        """Find the image that a line names; None where there is none.

        Raises:
            InputError: there are several.
        """
        line = with_slashes(line)
        found = self.ends.get(line) or next((self.whole[end] for end in _ends(line) if end in self.whole), set())
        if line in found or len(found) < 2:
            return line if line in found else next(iter(found), None)
        raise InputError(f"{path}: {line} may be {' or '.join(sorted(found))}; write the whole name")


def _ends(name: str) -> list[str]:
    """List the last parts of a path: a/b/c.jpg, b/c.jpg, c.jpg."""
    parts = PurePosixPath(name).parts
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] if PICTURE.fullmatch(name) else name
