"""Captions whose words are masked, replaced and dropped at random in training.

The augmentation of VSE-infinity (Chen et al., CVPR 2021), for words and for word pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vse.text.token_ids import MAX_WORDS, TokenIds, kept_ids
from vse.text.vocabulary import Vocabulary

CHANGED, MASKED, REPLACED = 0.2, 0.1, 0.02
"""Share of words that training changes: 10 % of all words are masked, 2 % replaced, the remaining 8 % dropped."""


@dataclass(frozen=True)
class AugmentedCaptions:
    """The captions of a file as ids, with the word augmentation of training.

    Args:
        tokens: the ids of every caption.
        begins: [tokens of all captions] bool, True where a word begins. All pieces of a word are changed together.
        mask: id of a masked piece; None drops what would be masked.
        vocabulary: number of ids that replacements are drawn from.
        keep_ends: never change the first and the last token of a caption ([CLS] and [SEP]). In the original code
            `<start>` and `<end>` are changed like any other word.
    """

    tokens: TokenIds
    begins: np.ndarray
    mask: int | None
    vocabulary: int
    keep_ends: bool

    @property
    def lengths(self) -> np.ndarray:
        """[captions] int64, tokens of each caption as it is without augmentation."""
        return self.tokens.lengths

    def batch(self, captions: np.ndarray, generator: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Read captions by their numbers [B] -> ids [B, T] int64, padded, lengths [B] > 0.

        Args:
            generator: source of the augmentation; None reads captions as they are.
        """
        if generator is None:
            return self.tokens.batch(captions)
        places, lengths = self.tokens.places(captions)
        row = np.repeat(np.arange(len(captions)), lengths)
        first = np.cumsum(lengths) - lengths
        ids, word = self.tokens.values[places].astype(np.int64), self.begins[places].cumsum() - 1

        draw = generator.random(word[-1] + 1)[word]
        if self.keep_ends:
            draw[first] = draw[first + lengths - 1] = 1.0
        if self.mask is not None:
            ids[draw < MASKED] = self.mask
        replaced = (draw >= MASKED) & (draw < MASKED + REPLACED)
        ids[replaced] = generator.integers(self.vocabulary, size=replaced.sum())
        kept = (draw < MASKED + REPLACED) | (draw >= CHANGED)
        if self.mask is None:
            kept &= draw >= MASKED
        lengths = np.bincount(row[kept], minlength=len(captions))
        # If all words of a caption were dropped, which ends the original code, the first one stays.
        kept[first[lengths == 0]] = True
        lengths = np.maximum(lengths, 1)

        padded = np.full((len(captions), lengths.max()), self.tokens.pad, dtype=np.int64)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = ids[kept]
        return torch.from_numpy(padded), torch.from_numpy(lengths)


class MaskedWords:
    """The words of a vocabulary and, as the last id, `<mask>`.

    Args:
        vocabulary: words and their ids.
        cache_folder: where the ids of captions are kept; None keeps them in memory only.
    """

    def __init__(self, vocabulary: Vocabulary, cache_folder: Path | None = None) -> None:
        self.vocabulary, self.cache_folder = vocabulary, cache_folder

    def __len__(self) -> int:
        """Count the ids, `<mask>` included."""
        return len(self.vocabulary) + 1

    def captions(self, captions: Sequence[str], source: Path, max_words: int = MAX_WORDS) -> AugmentedCaptions:
        """Encode captions and print the share of unknown words; see `vse.text.token_ids.kept_ids`."""
        tokens = kept_ids(captions, source, self.vocabulary, self.cache_folder, max_words)
        return AugmentedCaptions(tokens, np.ones(len(tokens.values), bool), len(self.vocabulary), len(self), False)

    def to_state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return self.vocabulary.to_state()
