"""Captions as token ids: encoded, cached between runs, cut into batches, with their fraction of unknown words."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vse.console import say
from vse.errors import InputError
from vse.files import write_atomically
from vse.text.ragged import Ragged
from vse.text.tokens import tokenise
from vse.text.vocabulary import Vocabulary

MOST_UNKNOWN = 0.5
"""A larger share of unknown words means that captions and vocabulary do not belong together."""


MAX_WORDS = 1000
"""Most words of a caption, unless --max_words says otherwise; GSMN takes 20 GB for one of 10,000."""


@dataclass(frozen=True)
class TokenIds(Ragged):
    """Captions as ids [length] int32, `<start>` and `<end>` included."""

    pad: int = 0
    """Id that fills shorter captions of a batch."""

    def batch(self, captions: np.ndarray, generator: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Stack captions in the order of `captions`.

        Args:
            captions: [B] caption indices.
            generator: not used, words are not augmented.

        Returns:
            ids [B, T] int64, padded with `pad` to the longest of these captions; lengths [B] int64.
        """
        return torch.from_numpy(self.stack(captions, self.pad)), torch.from_numpy(self.lengths[captions])


def encode(captions: Iterable[str], vocabulary: Vocabulary) -> TokenIds:
    """Encode captions as `<start>`, the ids of their tokens, `<end>`; an empty caption is `<start> <end>`."""
    id_of, unknown = vocabulary.word2idx.get, vocabulary.unknown
    rows = [
        [
            vocabulary.start,
            *[id_of(word, unknown) for word in tokenise(caption, vocabulary.tokeniser)],
            vocabulary.end,
        ]
        for caption in captions
    ]
    return replace(TokenIds.from_rows(rows, np.int32), pad=vocabulary.pad)


def token_ids(captions: Sequence[str], vocabulary: Vocabulary, cache: Path | None = None) -> TokenIds:
    """Encode captions, once if `cache` says where their ids may be kept.

    Args:
        cache: the beginning of a file's path, FOLDER/train_caps. What follows in the file's name is a hash of the
            captions and of the vocabulary with its tokeniser, so that ids of other captions are never taken. A damaged
            file is made anew; where none can be written, the ids are not kept.
    """
    if cache is None:
        return encode(captions, vocabulary)
    key = _key(captions, vocabulary)
    cached = cache_file(cache, captions, vocabulary)
    ids = _read_cache(cached, key, vocabulary)
    if ids is not None:
        return ids
    ids = encode(captions, vocabulary)
    with suppress(InputError, OSError):  # a cache only saves time
        write_atomically(cached, lambda file: np.savez(file, ids=ids.values, offsets=ids.offsets, key=np.array(key)))
    return ids


def kept_ids(
    captions: Sequence[str],
    source: Path,
    vocabulary: Vocabulary,
    cache_folder: Path | None = None,
    max_words: int = MAX_WORDS,
) -> TokenIds:
    """Encode captions and print the share of unknown words.

    Args:
        source: the file that the captions were read from, for messages and for the name of the kept file.
        cache_folder: where the ids are kept; None: nowhere.
        max_words: most words of a caption.

    Raises:
        InputError: most words are unknown, or a caption is longer.
    """
    tokens = token_ids(captions, vocabulary, None if cache_folder is None else cache_folder / source.stem)
    longest = int(tokens.lengths.argmax()) if len(tokens.lengths) else 0
    if len(tokens.lengths) and tokens.lengths[longest] - 2 > max_words:
        raise InputError(
            f"{source}: caption {longest}, counted from 0, has {tokens.lengths[longest] - 2} words; expected at most "
            f"{max_words}, for memory grows with their square: shorten it, or let train.py and evaluation.py read more "
            "with --max_words"
        )
    report_unknown(tokens, vocabulary.unknown, source)
    return tokens


def cache_file(cache: Path, captions: Sequence[str], vocabulary: Vocabulary) -> Path:
    """Name the file in which the ids of captions are kept; see `token_ids`."""
    return cache.with_name(f"{cache.name}_ids_{_key(captions, vocabulary)[:16]}.npz")


def _key(captions: Sequence[str], vocabulary: Vocabulary) -> str:
    return hashlib.sha256("\n".join([vocabulary.digest, *captions]).encode()).hexdigest()


def _read_cache(path: Path, key: str, vocabulary: Vocabulary) -> TokenIds | None:
    """Read cached ids; None where there are none to trust."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as cache:
            ids, offsets, cached_key = cache["ids"], cache["offsets"], str(cache["key"])
        sound = (
            cached_key == key
            and (ids.dtype, ids.ndim, offsets.dtype, offsets.ndim) == (np.int32, 1, np.int64, 1)
            and (offsets[0], offsets[-1]) == (0, len(ids))
            and bool((np.diff(offsets) >= 2).all())
            and ids.min() >= 0
            and ids.max() < len(vocabulary)
        )
    except Exception:  # a damaged archive may raise almost anything
        return None
    return TokenIds(ids, offsets, vocabulary.pad) if sound else None


def unknown_share(tokens: TokenIds, unknown: int) -> float:
    """Compute the share of `unknown` among the words of captions, `<start>` and `<end>` not counted."""
    words = len(tokens.values) - 2 * len(tokens)
    return float((tokens.values == unknown).sum()) / max(words, 1)


def report_unknown(tokens: TokenIds, unknown: int, source: Path | str) -> None:
    """Print the share of unknown words among the captions of `source`.

    Args:
        unknown: id of unknown words, or pieces of words.
        source: what the captions are called in the line.

    Raises:
        InputError: more than half of the words are unknown.
    """
    share = unknown_share(tokens, unknown)
    if share > MOST_UNKNOWN:
        raise InputError(
            f"{source}: {share:.0%} of the words are unknown to the vocabulary; it belongs to other captions (give "
            "theirs with --vocab_path), or the captions do not separate their words by blanks"
        )
    say(f"{source}: {share:.1%} unknown words")
