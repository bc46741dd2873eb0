"""The words a network knows and their ids; reading the vocabularies that the published code comes with."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from vse.errors import InputError
from vse.files import write_atomically
from vse.published.vocabularies import _read_pickle
from vse.text.tokens import TOKENISERS, tokenise

SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")

PAD, START, END, UNKNOWN = range(4)


class Vocabulary:
    """Words and their ids, and the tokeniser that makes words of captions.

    Calling it gives a word's id, that of `<unk>` for a word it does not hold.

    Args:
        words: in the order of their ids, `<pad>`, `<start>`, `<end>`, `<unk>` first.
        tokeniser: one of `vse.text.tokens.TOKENISERS`.

    Raises:
        InputError: special words not first, a word twice, or an unknown tokeniser.
    """

    def __init__(self, words: Sequence[str], tokeniser: str = "punkt") -> None:
        if tokeniser not in TOKENISERS:
            raise InputError(f"vocabulary of tokeniser {tokeniser!r}; expected one of {', '.join(TOKENISERS)}")
        if tuple(words[:4]) != SPECIAL_WORDS:
            raise InputError(f"vocabulary whose first words are not {' '.join(SPECIAL_WORDS)}; build it anew")
        self.tokeniser = tokeniser
        self.word2idx = {word: index for index, word in enumerate(words)}
        self.idx2word = dict(enumerate(words))
        if len(self.word2idx) != len(words):
            raise InputError("vocabulary with a word twice; build it anew")

    @property
    def idx(self) -> int:
        """The next free id."""
        return len(self.idx2word)

    def __len__(self) -> int:
        return len(self.idx2word)

    def __call__(self, word: str) -> int:
        return self.word2idx.get(word, UNKNOWN)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids as text, words separated by blanks, without padding, start and end."""
        return " ".join(self.idx2word[int(index)] for index in ids if int(index) not in (PAD, START, END))

    @property
    def digest(self) -> str:
        """SHA-256 of words and tokeniser, hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_state()).encode()).hexdigest()

    def to_state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"words": list(self.word2idx), "tokeniser": self.tokeniser}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary of a checkpoint.

        Raises:
            InputError: `state` is not what `to_state` gave.
        """
        words = state.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError("vocabulary of a checkpoint without its list of words; expected one saved by this project")
        return cls(words, str(state.get("tokeniser")))

    @classmethod
    def build(cls, captions: Iterable[str], threshold: int = 4, tokeniser: str = "punkt") -> Vocabulary:
        """The words that occur at least `threshold` times in `captions`, in order of first occurrence.

        HAL's published code builds its vocabulary from clean captions and then reads captions as bytes' notation;
        so `bytes-repr` counts the words of `ascii-lower`.
        """
        counted = "ascii-lower" if tokeniser == "bytes-repr" else tokeniser
        counts = Counter(word for caption in captions for word in tokenise(caption, counted))
        return cls([*SPECIAL_WORDS, *(word for word, count in counts.items() if count >= threshold)], tokeniser)

    def save(self, path: Path) -> None:
        """Write the field's JSON (word2idx, idx2word, idx) with the tokeniser added.

        Raises:
            InputError: the file cannot be written.
        """
        content = {
            "word2idx": self.word2idx,
            "idx2word": {str(index): word for index, word in self.idx2word.items()},
            "idx": self.idx,
            "tokeniser": self.tokeniser,
        }
        write_atomically(path, lambda file: file.write(json.dumps(content).encode()))

    @classmethod
    def load(cls, path: Path, tokeniser: str = "punkt") -> Vocabulary:
        """Read a JSON vocabulary, ours or a published one, or a published pickle, of which nothing is executed.

        Args:
            tokeniser: what captions will be read with. A file of ours says which one it belongs to; a published file
                does not, and goes with any.

        Raises:
            InputError: not a vocabulary, or one of another tokeniser.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(
                f"{path}: the vocabulary cannot be read ({error.strerror}); give a .json or .pkl vocabulary"
            ) from None
        fields = _read_pickle(content, path) if Path(path).suffix == ".pkl" else _read_json(content, path)
        words = _words(fields, path)
        theirs = fields.get("tokeniser", tokeniser)
        if theirs != tokeniser:
            raise InputError(
                f"{path}: the vocabulary was built with tokeniser {theirs!r}, but captions are to be read with "
                f"{tokeniser!r}; ask for {theirs!r}, or give another folder with --vocab_path to build a new one"
            )
        try:
            return cls(words, tokeniser)
        except InputError as problem:
            raise InputError(f"{path}: {problem}") from None


def _words(fields: Mapping[str, Any], path: Path) -> list[str]:
    """Words in the order of their ids."""

    def refuse(problem: str) -> NoReturn:
        raise InputError(
            f"{path}: {problem}; expected a vocabulary with word2idx, idx2word and idx, give or build another"
        )

    word2idx, idx2word, idx = (fields.get(name) for name in ("word2idx", "idx2word", "idx"))
    if not isinstance(word2idx, dict) or not isinstance(idx2word, dict) or type(idx) is not int:
        refuse("lacks word2idx, idx2word or idx")
    if not all(isinstance(word, str) and type(index) is int for word, index in word2idx.items()):
        refuse("word2idx does not map words to integers")
    words = sorted(word2idx, key=word2idx.__getitem__)
    if [word2idx[word] for word in words] != list(range(idx)):
        refuse("word2idx does not number its words 0, 1, 2, ... up to idx")
    if {str(index): word for index, word in idx2word.items()} != {str(index): w for index, w in enumerate(words)}:
        refuse("idx2word contradicts word2idx")
    return words


def _read_json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not a JSON file; expected a vocabulary, give or build another") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path}: not a JSON object; expected a vocabulary, give or build another")
    return fields
