"""What a batch of VSE-infinity holds: regions or a picture, and a caption's words or word pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vse.data.images import SquareTransform, picture_splits
from vse.data.loading import OpenSplit, Reader
from vse.data.vocabularies import locate_vocabulary, prepare_vocabulary
from vse.errors import InputError
from vse.options import DataOptions
from vse.text.augmented import MaskedWords
from vse.text.vocabulary import Vocabulary
from vse.text.word_pieces import WordPieces


def reader(open_images: OpenSplit, text_encoder: str, bert: str) -> Reader:
    """Read words or word pieces beside the images; captions are augmented in training.

    Args:
        open_images: opens a split with regions or with pictures.
        text_encoder: `bert` reads word pieces, `bigru` words.
        bert: folder or hub name of the BERT whose word pieces are read.
    """
    if text_encoder == "bigru":
        return Reader(open_images, locate_words, prepare_words, words_of_state, augment=True)

    def locate_pieces(data: DataOptions, folder: Path) -> WordPieces:
        with bert_option():
            return WordPieces.find(bert)

    def prepare_pieces(data: DataOptions, folder: Path) -> WordPieces:
        with bert_option():
            return WordPieces.find(bert, folder)

    return Reader(open_images, locate_pieces, prepare_pieces, word_pieces_of_state, augment=True)


def open_grids(source: str, input_scale_factor: float, skip_broken: bool) -> OpenSplit:
    """Return how a split of pictures is opened, for a CNN that was trained on `source`."""
    return picture_splits(SquareTransform(source, input_scale_factor), skip_broken=skip_broken)


@contextmanager
def bert_option() -> Iterator[None]:
    """Name the flag in errors about a BERT, and the alternative."""
    try:
        yield
    except InputError as problem:
        raise InputError(f"--bert {problem}, or choose --text_encoder bigru") from None


def locate_words(data: DataOptions, folder: Path) -> MaskedWords:
    """Find the vocabulary of a data set."""
    return MaskedWords(locate_vocabulary(data.vocab_path, data.data_name, folder))


def prepare_words(data: DataOptions, folder: Path) -> MaskedWords:
    """Find the vocabulary of a data set, or build it."""
    return MaskedWords(*prepare_vocabulary(data.vocab_path, data.data_name, folder))


def words_of_state(state: Mapping[str, Any]) -> MaskedWords:
    """Return the words of a checkpoint."""
    return MaskedWords(Vocabulary.from_state(state))


def word_pieces_of_state(state: Mapping[str, Any]) -> WordPieces:
    """Return the word pieces of a checkpoint."""
    return WordPieces(state["tokenizer"], state["shape"])
