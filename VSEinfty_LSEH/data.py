"""What a batch of VSE-infinity holds: regions or a picture, and a caption's words or word pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vse.data.datasets import find_vocabulary, open_split
from vse.data.images import SquareTransform, picture_splits
from vse.data.loading import OpenSplit, Reader
from vse.errors import InputError
from vse.options import DataOptions
from vse.text.augmented import MaskedWords
from vse.text.vocabulary import Vocabulary
from vse.text.word_pieces import WordPieces
from VSEinfty_LSEH.network import NetworkOptions


def reader(options: NetworkOptions) -> Reader:
    """Read regions or pictures, and words or word pieces; captions are augmented in training."""
    if options.text_encoder == "bert":

        def locate_text(data: DataOptions, folder: Path) -> WordPieces:
            with bert_option():
                return WordPieces.find(options.bert, folder)

        return Reader(split_opener(options), locate_text, word_pieces_of_state, augment=True)
    return Reader(split_opener(options), locate_words, words_of_state, augment=True)


def split_opener(options: NetworkOptions) -> OpenSplit:
    """Return how a split is opened: with regions or with pictures."""
    if options.precomp_enc_type == "basic":
        return open_split
    transform = SquareTransform(options.backbone_source, options.input_scale_factor)
    return picture_splits(transform, skip_broken=options.skip_broken)


@contextmanager
def bert_option() -> Iterator[None]:
    """Name the flag in errors about a BERT, and the alternative."""
    try:
        yield
    except InputError as problem:
        raise InputError(f"--bert {problem}, or choose --text_encoder bigru") from None


def locate_words(data: DataOptions, folder: Path) -> MaskedWords:
    """Find the vocabulary of a data set; training builds one where there is none."""
    return MaskedWords(*find_vocabulary(data.vocab_path, data.data_name, folder))


def words_of_state(state: Mapping[str, Any]) -> MaskedWords:
    """Return the words that a checkpoint carries."""
    return MaskedWords(Vocabulary.from_state(state))


def word_pieces_of_state(state: Mapping[str, Any]) -> WordPieces:
    """Return the word pieces that a checkpoint carries."""
    return WordPieces(state["tokenizer"], state["shape"])
