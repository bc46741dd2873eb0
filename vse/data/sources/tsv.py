"""Bottom-up attention's table: one line per image, numbers as base64, as written by Python 2 and Python 3."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vse.console import say
from vse.data.sources.entry import Axes, Entry, check_shape
from vse.data.sources.payload import DTYPES, decide_dtype
from vse.errors import InputError

LONGEST_LINE = 2**26
"""A line of 100 regions with 2,048 values takes 1.1 MB; what is longer is no such file."""

COLUMNS = {
    6: "image_id,image_w,image_h,num_boxes,boxes,features",
    10: "image_id,image_h,image_w,objects_id,objects_conf,attrs_id,attrs_conf,num_boxes,boxes,features",
}
"""Number of columns -> their names: bottom-up attention's and LXMERT's."""

ALIASES = {"img_id": "image_id", "img_w": "image_w", "img_h": "image_h"}

MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some programs write first."""

SAMPLE = 64
"""Lines whose features are decoded to find out their precision."""


class _Line(NamedTuple):
    """Content of a line, its features still encoded."""

    image: str
    where: str
    offset: int
    regions: int = 0
    length: int = 0  # of the features, bytes
    boxes: np.ndarray | None = None  # uint8
    size: tuple[float, float] | None = None
    fault: str | None = None


class TsvSource:
    """A TSV file of features.

    Args:
        columns: their names, separated by commas; None: by their number, see COLUMNS, or by a first line of names.
        dtype: precision of the features; None: it is found out, see `decide_dtype`.

    Raises:
        InputError: the columns hold no features.
    """

    def __init__(self, path: Path, columns: str | None = None, dtype: str | None = None) -> None:
        self.path, self.dtype = path, dtype
        self.file = path.open("rb")
        self.start = len(MARK) if self.file.read(len(MARK)) == MARK else 0
        first = self._fields(self.start)
        names = [ALIASES.get(name, name) for name in (field.decode("latin-1") for field in first)]
        self.titled = {"image_id", "features"} <= set(names)
        if columns is not None:
            names = [ALIASES.get(name, name) for name in columns.split(",")]
        elif not self.titled:
            names = COLUMNS.get(len(first), COLUMNS[6]).split(",")
        if not {"image_id", "num_boxes", "features"} <= set(names):
            raise InputError(f"--fields {','.join(names)}: expected image_id, num_boxes and features among them")
        self.columns = names

    @property
    def axes(self) -> Axes:
        """Order of the axes of the stored arrays."""
        return "rd"

    def entries(self) -> list[Entry]:
        """List the images, with shapes, boxes and sizes; features are not read."""
        lines = list(self._lines())
        whole = [line for line in lines if line.fault is None]
        if whole and self.dtype is None:
            self.dtype = self._find_dtype(whole)
        return [self._entry(line) for line in lines]

    def features(self, entry: Entry) -> np.ndarray:
        """Read the features of an entry as they are stored."""
        return self._payload(entry.place, entry.where).view(DTYPES[self.dtype or "float32"]).reshape(entry.shape)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _fields(self, offset: int) -> list[bytes]:
        self.file.seek(offset)
        return self.file.readline(LONGEST_LINE).rstrip(b"\r\n").split(b"\t")

    def _payload(self, offset: int, where: str) -> np.ndarray:
        return _decode(_bare(self._fields(offset)[self.columns.index("features")]), f"{where}: features")

    def _lines(self) -> Iterator[_Line]:
        self.file.seek(self.start)
        offset, number = self.start, 0
        while line := self.file.readline(LONGEST_LINE):
            number += 1
            if number > 1 or not self.titled:
                yield self._line(line.rstrip(b"\r\n").split(b"\t"), offset, f"{self.path}, line {number}")
            offset += len(line)

    def _line(self, parts: list[bytes], offset: int, where: str) -> _Line:
        fields = dict(zip(self.columns, parts, strict=False))
        if len(parts) != len(self.columns):
            fault = (
                f"{where}: {len(parts)} fields; expected {len(self.columns)} ({','.join(self.columns)}), separated by "
                "tabs; the file is truncated, or --fields does not fit"
            )
            if len(parts) > len(self.columns) or not fields.get("image_id"):
                raise InputError(fault)
            return _Line(_image(fields["image_id"], where), where, offset, fault=fault)
        image = _image(fields["image_id"], where)
        try:
            regions = int(fields["num_boxes"])
            size = None
            if "image_w" in fields and "image_h" in fields:
                size = (float(fields["image_w"]), float(fields["image_h"]))
        except ValueError:
            raise InputError(f"{where}: sizes and number of boxes must be numbers; see --fields") from None
        if regions < 1:
            raise InputError(f"{where}: {regions} boxes; expected one or more, leave the image out")
        for name in ("boxes", "features"):
            length = _length(fields[name]) if name in fields else None
            if length is not None and (length <= 0 or length % (2 * regions)):
                fault = (
                    f"{where}: {name} are not base64 of numbers for {regions} regions; the line is damaged or cut off"
                )
                return _Line(image, where, offset, fault=fault)
        boxes = _decode(_bare(fields["boxes"]), f"{where}: boxes") if "boxes" in fields else None
        return _Line(image, where, offset, regions, _length(fields["features"]), boxes, size)

    def _find_dtype(self, lines: list[_Line]) -> str:
        expected = "float32"
        if lines[0].boxes is not None:
            expected = _box_dtype(lines[0], len(lines[0].boxes))
        sample = [lines[place] for place in np.unique(np.linspace(0, len(lines) - 1, SAMPLE).astype(int))]
        payloads = [self._payload(line.offset, line.where) for line in sample]
        dtype = decide_dtype(payloads, [line.regions for line in sample], expected, str(self.path))
        if dtype != "float32":
            say(f"{self.path}: features are {dtype}")
        return dtype

    def _entry(self, line: _Line) -> Entry:
        if line.fault is not None:
            return Entry(line.image, (), line.where, line.offset, fault=line.fault)
        item = np.dtype(DTYPES[self.dtype or "float32"]).itemsize
        if line.length % (line.regions * item):
            raise InputError(
                f"{line.where}: features of {line.length} bytes; expected {self.dtype} for {line.regions} regions"
            )
        shape = (line.regions, line.length // (line.regions * item))
        check_shape(shape, line.where)
        boxes = None
        if line.boxes is not None:
            boxes = line.boxes.view(DTYPES[_box_dtype(line, len(line.boxes))]).reshape(-1, 4).astype(np.float32)
        return Entry(line.image, shape, line.where, line.offset, boxes, line.size)


def _box_dtype(line: _Line, length: int) -> str:
    """Tell the precision of boxes from their length in bytes: four numbers for each region."""
    for name, code in DTYPES.items():
        if length == 4 * np.dtype(code).itemsize * line.regions:
            return name
    raise InputError(f"{line.where}: boxes of {length} bytes; expected four numbers for {line.regions} regions")


def _image(field: bytes, where: str) -> str:
    try:
        image = _bare(field).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise InputError(f"{where}: image id is not UTF-8; the file is damaged, use another copy") from None
    if not image:
        raise InputError(f"{where}: no image id; the file is damaged, use another copy")
    return image


def _bare(field: bytes) -> bytes:
    """Strip what Python 3 adds to a field when it writes bytes as text: b'...'."""
    if field[:2] in (b"b'", b'b"') and len(field) > 2 and field[-1:] == field[1:2]:
        return field[2:-1]
    return field


def _length(field: bytes) -> int:
    """Bytes that base64 text decodes to; -1 if it has no whole number of letters."""
    text = _bare(field)
    return len(text) // 4 * 3 - text[-2:].count(b"=") if len(text) % 4 == 0 else -1


def _decode(text: bytes, where: str) -> np.ndarray:
    try:
        return np.frombuffer(_decode_base64(text), np.uint8)
    except ValueError:
        raise InputError(f"{where} are not base64; the file is damaged, use another copy") from None


def _decode_base64(text: bytes) -> bytes:
    try:
        from pybase64 import b64decode  # forty times faster, but not everywhere installed
    except ImportError:
        decoded = binascii.a2b_base64(text)
        if len(decoded) != len(text) // 4 * 3 - text[-2:].count(b"="):  # letters outside the alphabet are passed over
            raise ValueError("not base64") from None
        return decoded
    return b64decode(text, validate=True)
