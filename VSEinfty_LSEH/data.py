"""What a batch of VSE-infinity holds: regions or a picture, and a caption's words or word pieces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vse.data.datasets import open_split
from vse.data.images import SquareTransform, picture_splits
from vse.data.loading import OpenSplit, Reader
from vse.options import DataOptions
from vse.text.vocabulary import Vocabulary
from VSEinfty_LSEH.network import NetworkOptions
from VSEinfty_LSEH.text import Words
from VSEinfty_LSEH.wordpieces import WordPieces


def reader(options: NetworkOptions) -> Reader:
    """Read regions or pictures, and words or word pieces; captions are augmented in training."""
    if options.text_encoder == "bert":

        def locate_text(data: DataOptions, folder: Path) -> WordPieces:
            return WordPieces.find(options.bert)

        return Reader(split_opener(options), locate_text, word_pieces_of_state, augment=True)
    return Reader(split_opener(options), locate_words, words_of_state, augment=True)


def split_opener(options: NetworkOptions) -> OpenSplit:
    """Return how a split is opened: with regions or with pictures."""
    if options.precomp_enc_type == "basic":
        return open_split
    transform = SquareTransform(options.backbone_source, options.input_scale_factor)
    return picture_splits(transform, skip_broken=options.skip_broken)


def locate_words(data: DataOptions, folder: Path) -> Words:
    """Find the vocabulary of a data set; training builds one where there is none."""
    return Words.find(data.vocab_path, data.data_name, folder)


def words_of_state(state: Mapping[str, Any]) -> Words:
    """Return the words that a checkpoint carries."""
    return Words(Vocabulary.from_state(state))


def word_pieces_of_state(state: Mapping[str, Any]) -> WordPieces:
    """Return the word pieces that a checkpoint carries."""
    return WordPieces(state["tokenizer"], state["shape"])
