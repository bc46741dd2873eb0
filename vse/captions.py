"""Caption files: one caption a line, in the order of the caption ids; captions as tokens and as token ids."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError
from vse.files import write_atomically

if TYPE_CHECKING:
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    from vse.vocabulary import Vocabulary

TOKENISERS = ("punkt", "ascii-lower", "bytes-repr")
"""What `tokenise` knows. Each is NLTK's `word_tokenize` of a caption that was prepared in one of three ways:

punkt: lower-cased (the default; VSRN, VSE-infinity and all networks with LSEH).
ascii-lower: only the ASCII letters lower-cased, as VSE++ and SGRAF do to the file's bytes.
bytes-repr: Python's notation of the bytes, `b'...'`, lower-cased: a slip in HAL's reader that its published
checkpoints were made with.
"""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What bytes.strip() removes in the published readers. Other Unicode spaces stay: they show in HAL's byte tokens.
_WHITE_SPACE = " \t\n\r\x0b\x0c"


def read_captions(path: Path) -> list[str]:
    """The captions of a file, one a line, stripped at both ends; an empty line is an empty caption.

    UTF-8, with or without a byte order mark; lines end with LF or CRLF and nothing else. The newline that ends the
    last line starts no further caption.

    Raises:
        InputError: the file cannot be read, is empty, or holds a NUL or bytes that are not UTF-8.
    """
    return _parse_captions(_read_bytes(path), path)


def _read_bytes(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: the caption file cannot be read ({error.strerror}); give a text file with one caption a line"
        ) from None


def _parse_captions(content: bytes, path: Path) -> list[str]:
    content = content.removeprefix(_BYTE_ORDER_MARK)
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


def tokenise(caption: str, tokeniser: str = "punkt") -> list[str]:
    """The tokens of a caption: NLTK's `word_tokenize` (Punkt sentences, then Treebank words) of the lower-cased text.

    NLTK's data need not be installed, and are not looked at where they are.

    Args:
        tokeniser: one of `TOKENISERS`.
    """
    text = _PREPARE[tokeniser](caption)
    # Punkt only ever looks at a stop that white space or another mark follows: without one the text is one sentence.
    sentences = _punkt().tokenize(text) if _STOP_INSIDE.search(text) else [text.rstrip()]
    return [token for sentence in sentences for token in _words(sentence)]


_PREPARE: dict[str, Callable[[str], str]] = {
    "punkt": str.lower,
    "ascii-lower": lambda caption: caption.encode().lower().decode(),
    "bytes-repr": lambda caption: repr(caption.encode()).lower(),
}

_STOP_INSIDE = re.compile(r"[.?!](?=[^\w.])")
# A full stop in front of these, spaces between them included, may still be the one that ends the sentence.
_CLOSING_MARKS = "])}>\"'»”’"


def _words(sentence: str) -> list[str]:
    """What NLTK's word tokenizer makes of a sentence, put together from its white-space separated chunks.

    Its rules look across a blank in two ways only: marks that end a sentence are treated differently at the very end,
    and opening quotes at the very beginning. So each distinct chunk is split once for each of the three places. A blank at the
    very beginning, other white space than blanks, and a last chunk that a rule could look through are left to NLTK.
    """
    chunks = sentence.split()
    only_blanks = sentence.isprintable() and not sentence.startswith(" ")
    if len(chunks) < 2 or not only_blanks or not chunks[-1].strip(_CLOSING_MARKS):
        return _treebank().tokenize(sentence)
    return [*_first(chunks[0]), *chain.from_iterable(map(_inner, chunks[1:-1])), *_last(chunks[-1])]


@lru_cache(1 << 16)
def _first(chunk: str) -> list[str]:
    return [chunk] if _is_plain(chunk) else _treebank().tokenize(f"{chunk} x")[:-1]


@lru_cache(1 << 16)
def _inner(chunk: str) -> list[str]:
    return [chunk] if _is_plain(chunk) else _treebank().tokenize(f"x {chunk} x")[1:-1]


@lru_cache(1 << 16)
def _last(chunk: str) -> list[str]:
    return [chunk] if _is_plain(chunk) else _treebank().tokenize(f"x {chunk}")[1:]


def _is_plain(chunk: str) -> bool:
    """Letters and digits only, so that no rule can apply but those that take apart words like "cannot"."""
    return chunk.isalnum() and not any(rule.search(f" {chunk} ") for rule in _treebank().CONTRACTIONS2)


# NLTK takes two seconds to import, so only what has to tokenise pays for it.
@cache
def _treebank() -> NLTKWordTokenizer:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


@cache
def _punkt() -> PunktSentenceTokenizer:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    from vse.punkt_english import punkt_parameters

    return PunktSentenceTokenizer(punkt_parameters())
