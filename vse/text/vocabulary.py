"""The words that a network knows and their ids."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vse.errors import InputError
from vse.files import write_atomically
from vse.published.vocabularies import SPECIAL_WORDS, read_vocabulary, words_in_order
from vse.text.tokens import TOKENISERS, tokenise


class Vocabulary:
    """Words and their ids, and the tokeniser that splits captions into words.

    Calling it gives a word's id, that of `<unk>` for a word it does not hold. The ids of the special words are `pad`,
    `start`, `end` and `unknown`: 0 to 3 in every vocabulary that is built here, anything in one that was read.

    Args:
        words: in the order of their ids, the four special words among them.
        tokeniser: one of `vse.text.tokens.TOKENISERS`.
        made_from: name of each caption file that the vocabulary was built from -> its SHA-256; empty: not known.
        threshold: minimum number of occurrences of a word in those files; None: not known.

    Raises:
        InputError: a special word missing, no other words, a word twice, or an unknown tokeniser.
    """

    def __init__(
        self,
        words: Sequence[str],
        tokeniser: str = "punkt",
        made_from: Mapping[str, str] | None = None,
        threshold: int | None = None,
    ) -> None:
        if tokeniser not in TOKENISERS:
            raise InputError(f"vocabulary of tokeniser {tokeniser!r}; expected one of {', '.join(TOKENISERS)}")
        self.tokeniser, self.made_from, self.threshold = tokeniser, dict(made_from or {}), threshold
        self.word2idx = {word: index for index, word in enumerate(words)}
        self.idx2word = dict(enumerate(words))
        if len(self.word2idx) != len(words):
            raise InputError("vocabulary with a word twice; build it anew")
        missing = [word for word in SPECIAL_WORDS if word not in self.word2idx]
        if missing:
            raise InputError(f"vocabulary without {' '.join(missing)}; build it anew")
        if len(words) == len(SPECIAL_WORDS):
            raise InputError(f"vocabulary without any word but {' '.join(SPECIAL_WORDS)}; build it anew")
        self.pad, self.start, self.end, self.unknown = (self.word2idx[word] for word in SPECIAL_WORDS)

    @property
    def idx(self) -> int:
        """The next free id."""
        return len(self.idx2word)

    def __len__(self) -> int:
        """Count the words, special ones included."""
        return len(self.idx2word)

    def __call__(self, word: str) -> int:
        """Give the id of a word."""
        return self.word2idx.get(word, self.unknown)

    def decode(self, ids: Iterable[int]) -> str:
        """Write ids as text, words separated by blanks, without padding, start and end."""
        unwritten = (self.pad, self.start, self.end)
        return " ".join(self.idx2word[int(index)] for index in ids if int(index) not in unwritten)

    @property
    def digest(self) -> str:
        """SHA-256 of words and tokeniser, hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_state()).encode()).hexdigest()

    def to_state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"words": list(self.word2idx), "tokeniser": self.tokeniser}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocabulary:
        """Restore the vocabulary of a checkpoint.

        Raises:
            InputError: `state` is not what `to_state` gave.
        """
        words = state.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError("vocabulary of a checkpoint without its list of words; expected one saved by this project")
        return cls(words, str(state.get("tokeniser")))

    @classmethod
    def build(cls, captions: Iterable[str], threshold: int = 4, tokeniser: str = "punkt") -> Vocabulary:
        """Count the words that occur at least `threshold` times in `captions`, in order of first occurrence.

        HAL's original code builds its vocabulary from clean captions and then reads captions as bytes' notation;
        so `bytes-repr` counts the words of `ascii-lower`.

        Raises:
            InputError: no word occurs so often.
        """
        counted = "ascii-lower" if tokeniser == "bytes-repr" else tokeniser
        counts = Counter(word for caption in captions for word in tokenise(caption, counted))
        words = [word for word, count in counts.items() if count >= threshold and word not in SPECIAL_WORDS]
        if not words:
            raise InputError(
                f"none of the {len(counts)} words of the captions occurs {threshold} times; expected more captions, "
                "with blanks between their words"
            )
        return cls([*SPECIAL_WORDS, *words], tokeniser, threshold=threshold)

    def save(self, path: Path) -> None:
        """Write the field's JSON (word2idx, idx2word, idx), with the tokeniser and what the words were counted in.

        Raises:
            InputError: the file cannot be written.
        """
        content = {
            "word2idx": self.word2idx,
            "idx2word": {str(index): word for index, word in self.idx2word.items()},
            "idx": self.idx,
            "tokeniser": self.tokeniser,
            "threshold": self.threshold,
            "made_from": self.made_from,
        }
        write_atomically(path, lambda file: file.write(json.dumps(content).encode()))

    @classmethod
    def load(cls, path: Path, tokeniser: str = "punkt") -> Vocabulary:
        """Read a vocabulary of ours or of the original code, JSON or pickle; nothing in the file is executed.

        Args:
            tokeniser: how captions will be read. A file of ours names its own; one of the original code does not, and
                goes with any.

        Raises:
            InputError: not a vocabulary, or one of another tokeniser.
        """
        path = Path(path)
        fields = read_vocabulary(path)
        words = words_in_order(fields, path)
        theirs = fields.get("tokeniser", tokeniser)
        if theirs != tokeniser:
            raise InputError(
                f"{path}: the vocabulary was built with tokeniser {theirs!r}, but captions are to be read with "
                f"{tokeniser!r}; ask for {theirs!r}, or give another folder with --vocab_path to build a new one"
            )
        made_from, threshold = fields.get("made_from"), fields.get("threshold")
        try:
            return cls(
                words,
                tokeniser,
                made_from if isinstance(made_from, dict) else None,
                threshold if isinstance(threshold, int) else None,
            )
        except InputError as problem:
            raise InputError(f"{path}: {problem}") from None
