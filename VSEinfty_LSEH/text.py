"""Captions whose words are masked, replaced and dropped at random in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vse.data.datasets import find_vocabulary
from vse.text.captions import TokenIds, token_ids
from vse.text.vocabulary import Vocabulary

CHANGED, MASKED, REPLACED = 0.2, 0.1, 0.02
"""Share of words that training changes; a tenth of all words is masked, a fiftieth replaced, the rest dropped."""


@dataclass(frozen=True)
class AugmentedCaptions:
    """The captions of a file as ids, with the word augmentation of training.

    Args:
        tokens: the ids of every caption.
        begins: [tokens of all captions] bool, a word begins here. The pieces of a word share its fate.
        mask: id of a masked piece.
        vocabulary: replacements are drawn from so many ids.
        keep_ends: leave the first and the last token of a caption alone ([CLS] and [SEP]; `<start>` and `<end>` are
            words like any other, as published).
    """

    tokens: TokenIds
    begins: np.ndarray
    mask: int
    vocabulary: int
    keep_ends: bool

    def batch(self, captions: np.ndarray, generator: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """[B] caption indices -> ids [B, T] int64 padded with 0, lengths [B] > 0; a generator asks for augmentation."""
        if generator is None:
            return self.tokens.batch(captions)
        starts = self.tokens.offsets[captions]
        lengths = self.tokens.offsets[captions + 1] - starts
        row = np.repeat(np.arange(len(captions)), lengths)
        first = np.cumsum(lengths) - lengths
        place = np.arange(len(row)) + (starts - first)[row]
        ids, word = self.tokens.ids[place].astype(np.int64), self.begins[place].cumsum() - 1

        draw = generator.random(word[-1] + 1)[word]
        if self.keep_ends:
            draw[first] = draw[first + lengths - 1] = 1.0
        ids[draw < MASKED] = self.mask
        replaced = (draw >= MASKED) & (draw < MASKED + REPLACED)
        ids[replaced] = generator.integers(self.vocabulary, size=replaced.sum())
        kept = (draw < MASKED + REPLACED) | (draw >= CHANGED)
        lengths = np.bincount(row[kept], minlength=len(captions))
        # Where all words of a caption were dropped, which is fatal in the published code, the first one stays.
        kept[first[lengths == 0]] = True
        lengths = np.maximum(lengths, 1)

        padded = np.zeros((len(captions), lengths.max()), dtype=np.int64)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = ids[kept]
        return torch.from_numpy(padded), torch.from_numpy(lengths)


class Words:
    """The words of a vocabulary and, as the last id, `<mask>` (`--text_encoder bigru`)."""

    def __init__(self, vocabulary: Vocabulary, cache_folder: Path | None = None) -> None:
        self.vocabulary, self.cache_folder = vocabulary, cache_folder

    @classmethod
    def find(cls, vocab_path: str | Path | None, data_name: str | None, folder: Path) -> Words:
        """The vocabulary of a data set, as `vse.data.datasets.find_vocabulary` finds or builds it."""
        return cls(*find_vocabulary(vocab_path, data_name, folder))

    def __len__(self) -> int:
        """Ids in all, `<mask>` included."""
        return len(self.vocabulary) + 1

    def captions(self, path: Path) -> AugmentedCaptions:
        """The captions of a file."""
        tokens = token_ids(path, self.vocabulary, self.cache_folder)
        return AugmentedCaptions(tokens, np.ones(len(tokens.ids), bool), len(self.vocabulary), len(self), False)

    def to_state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return self.vocabulary.to_state()
