"""Read the vocabularies of the original code and of related projects, pickles and JSON, without executing anything."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from vse.errors import InputError
from vse.files import read_bytes
from vse.formats.pickles import ORDERED, OrderedStandIn, Refused, SafeUnpickler, StandIn

MOST_BYTES = 2**26
"""Larger files are refused unread; a vocabulary of 100,000 words takes 4 MB."""

SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")

SYNONYMS = {
    "[pad]": "<pad>",
    "<s>": "<start>",
    "<sos>": "<start>",
    "<bos>": "<start>",
    "</s>": "<end>",
    "<eos>": "<end>",
    "[unk]": "<unk>",
}
"""Other spellings of the special words, in lower case -> ours."""

EXPECTED = "expected a vocabulary with word2idx (and idx2word, idx), give or build another"


def read_vocabulary(path: Path) -> Mapping[str, Any]:
    """Read the fields of a vocabulary file: `word2idx` and whatever else the file holds.

    A file is JSON or, with the suffix .pkl or .pickle, a pickled `Vocabulary` or dict. A dict of words and their ids
    alone is taken as `word2idx`.

    Raises:
        InputError: the file cannot be read, is too large or damaged, or asks for anything but plain values.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: {path.stat().st_size / 1e6:.0f} MB is no vocabulary; {EXPECTED}")
        content = read_bytes(path)
    except OSError as error:
        raise InputError(
            f"{path}: the vocabulary cannot be read ({error.strerror}); give a .json or .pkl vocabulary"
        ) from None
    fields = _read_pickle(content, path) if path.suffix in (".pkl", ".pickle") else _read_json(content, path)
    if "word2idx" not in fields and fields and all(type(index) is int for index in fields.values()):
        return {"word2idx": fields}
    return fields


def words_in_order(fields: Mapping[str, Any], path: Path) -> list[str]:
    """List the words of a vocabulary file in the order of their ids, special words spelled as in `SPECIAL_WORDS`.

    The order of the file is kept, wherever its special words are: the rows of a checkpoint's word vectors follow it.

    Raises:
        InputError: ids that are not 0, 1, 2, ..., or fields that contradict each other.
    """

    def refuse(problem: str) -> NoReturn:
        raise InputError(f"{path}: {problem}; {EXPECTED}")

    word2idx = fields.get("word2idx")
    if not isinstance(word2idx, dict) or not word2idx:
        refuse("lacks word2idx")
    if not all(isinstance(word, str) and type(index) is int for word, index in word2idx.items()):
        refuse("word2idx does not map words to integers")
    words = sorted(word2idx, key=word2idx.__getitem__)
    if any(word2idx[word] != index for index, word in enumerate(words)):
        refuse("word2idx does not number its words 0, 1, 2, ...")
    if "idx" in fields and (type(fields["idx"]) is not int or fields["idx"] != len(words)):
        refuse(f"idx is not {len(words)}, the number of words in word2idx")
    idx2word = fields.get("idx2word")
    if isinstance(idx2word, list):
        idx2word = dict(enumerate(idx2word))
    if idx2word is not None and (
        not isinstance(idx2word, dict)
        or len(idx2word) != len(words)
        or any(idx2word.get(index, idx2word.get(str(index))) != word for index, word in enumerate(words))
    ):
        refuse("idx2word contradicts word2idx")
    missing = [word for word in SPECIAL_WORDS if word not in word2idx]
    ours = {word: _special(word) for word in words}
    return [ours[word] if ours[word] in missing else word for word in words]


def _special(word: str) -> str:
    lower = word.lower()
    return SYNONYMS.get(lower, lower)


def _read_json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not a JSON file; {EXPECTED}") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path}: not a JSON object; {EXPECTED}")
    return fields


class _Counted(OrderedStandIn):
    """A `Counter` or `defaultdict`: its items, without what it does for missing keys."""

    def __init__(self, first: Any = None) -> None:
        super().__init__(first.items() if isinstance(first, dict) else ())


class _Vocabularies(dict[tuple[str, str], Any]):
    """What a pickled vocabulary may name: a class called Vocabulary in any module, and dicts of the library."""

    def __init__(self) -> None:
        super().__init__(ORDERED)
        for module in ("builtins", "__builtin__"):
            self |= {(module, name): None for name in ("object", "int", "long")}
        for name in ("Counter", "defaultdict"):
            self["collections", name] = _Counted
        for module in ("copyreg", "copy_reg"):
            self[module, "_reconstructor"] = lambda made, base, state: StandIn()

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, tuple) and name[1] == "Vocabulary")

    def __missing__(self, name: tuple[str, str]) -> Any:
        return StandIn


def _read_pickle(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = SafeUnpickler(io.BytesIO(content), _Vocabularies(), encoding="utf-8").load()
    except Refused as problem:
        raise InputError(f"{path}: not a pickled vocabulary ({problem}); {EXPECTED}") from None
    fields = value.state if isinstance(value, StandIn) and value.state is not None else value
    if not isinstance(fields, dict):
        raise InputError(f"{path}: a pickled {type(value).__name__}; {EXPECTED}")
    return fields
