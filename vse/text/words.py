"""Captions read as the words of a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vse.text.token_ids import MAX_WORDS, TokenIds, kept_ids
from vse.text.vocabulary import Vocabulary


class Words:
    """The words of a vocabulary, as a network reads captions with them.

    Args:
        vocabulary: words and their ids.
        cache_folder: where the ids of captions are kept; None keeps them in memory only.
    """

    def __init__(self, vocabulary: Vocabulary, cache_folder: Path | None = None) -> None:
        self.vocabulary, self.cache_folder = vocabulary, cache_folder

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.vocabulary)

    def captions(self, captions: Sequence[str], source: Path, max_words: int = MAX_WORDS) -> TokenIds:
        """Encode captions and print the share of unknown words; see `vse.text.token_ids.kept_ids`."""
        return kept_ids(captions, source, self.vocabulary, self.cache_folder, max_words)

    def to_state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return self.vocabulary.to_state()
