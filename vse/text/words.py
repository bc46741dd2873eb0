"""Captions read as the words of a vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vse.text.captions import TokenIds, token_ids
from vse.text.vocabulary import Vocabulary


class Words:
    """The words of a vocabulary, as a network reads captions with them.

    Args:
        vocabulary: words and their ids.
        cache_folder: where the token ids of caption files are kept; None keeps them in memory only.
    """

    def __init__(self, vocabulary: Vocabulary, cache_folder: Path | None = None) -> None:
        self.vocabulary, self.cache_folder = vocabulary, cache_folder

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.vocabulary)

    def captions(self, path: Path) -> TokenIds:
        """Read the captions of a file, with `<start>` and `<end>` around each.

        Raises:
            InputError: as `vse.text.captions.read_captions`.
        """
        return token_ids(path, self.vocabulary, self.cache_folder)

    def to_state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return self.vocabulary.to_state()
