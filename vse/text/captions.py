"""Caption files: one caption per line, in the order of the caption ids."""

from __future__ import annotations

from pathlib import Path

from vse.errors import InputError
from vse.files import read_bytes

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# What bytes.strip() removes in the original readers. Other Unicode spaces stay: they show in HAL's byte tokens.
_WHITE_SPACE = " \t\n\r\x0b\x0c"


def read_captions(path: Path) -> list[str]:
    """Read the captions of a file, one a line, stripped at both ends; an empty line is an empty caption.

    UTF-8, with or without a byte order mark; lines end with LF or CRLF and nothing else. The newline that ends the
    last line starts no further caption.

    Raises:
        InputError: the file cannot be read, is empty, or holds a NUL or bytes that are not UTF-8.
    """
    try:
        content = read_bytes(path).removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        raise InputError(
            f"{path}: the caption file cannot be read ({error.strerror}); give a text file with one caption a line"
        ) from None
    if not content:
        raise InputError(f"{path}: the caption file is empty; expected one caption a line")
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise InputError(
            f"{path}, line {line}: holds a NUL byte; expected plain text in UTF-8, save the file in that encoding"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not valid UTF-8; convert the file to UTF-8"
        ) from None
    lines = text.removesuffix("\n").split("\n")
    return [line.strip(_WHITE_SPACE) for line in lines]
