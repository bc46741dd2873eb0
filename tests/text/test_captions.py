"""Caption files: a caption a line, and what is refused."""

from __future__ import annotations

import pytest

from vse.errors import InputError
from vse.text.captions import read_captions


@pytest.mark.parametrize(
    ("content", "captions"),
    [
        (b"a dog\na cat\n", ["a dog", "a cat"]),
        (b"a dog\na cat", ["a dog", "a cat"]),
        (b"\xef\xbb\xbfa dog\r\na cat\r\n", ["a dog", "a cat"]),
        (b"  a dog\t \n\n \na cat\n\n", ["a dog", "", "", "a cat", ""]),
        (b"\n", [""]),
        ("a\u2028b\x0bc\x0cd\x85e\rf\n".encode(), ["a\u2028b\x0bc\x0cd\x85e\rf"]),
        ("\u00a0a dog\u00a0\n".encode(), ["\u00a0a dog\u00a0"]),
    ],
)
def test_only_newlines_separate_captions(tmp_path, content, captions):
    path = tmp_path / "caps.txt"
    path.write_bytes(content)
    assert read_captions(path) == captions


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a dog\na c\xe9t\n", ["line 2", "0xe9", "UTF-8"]),
        (b"\xef\xbb\xbfa\n\nb\0\n", ["line 3", "NUL"]),
        ("a dog\n".encode("utf-16"), ["line 1"]),
        (b"", ["empty"]),
        (b"\xef\xbb\xbf", ["empty"]),
    ],
)
def test_a_damaged_caption_file_is_refused_with_its_line(tmp_path, content, words):
    path = tmp_path / "caps.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_captions(path)
    message = str(refusal.value)
    assert all(word in message for word in [str(path), *words])
    assert "\n" not in message


def test_a_missing_caption_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_captions(path)
