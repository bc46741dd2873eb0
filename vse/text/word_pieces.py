"""Captions as the word pieces of a BERT, through the transformers and tokenizers libraries."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vse.errors import InputError
from vse.extras import hub_folder, library
from vse.files import write_atomically
from vse.text.augmented import AugmentedCaptions
from vse.text.ragged import Ragged
from vse.text.token_ids import MAX_WORDS, TokenIds, report_unknown

SHAPE = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
]
"""Values of a BERT's configuration that its network depends on."""

FILES = ["config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
"""Files of a BERT, apart from its weights; some folders lack some of them."""


class WordPieces:
    """Word pieces, and the shape of the BERT that they belong to.

    Args:
        tokenizer: a tokenizer of the tokenizers library, as JSON.
        shape: the values of `SHAPE`.
        name: folder or name on the hub of the BERT, which holds its weights.
        cache_folder: where the ids of captions are kept; None keeps them in memory only.

    Raises:
        InputError: the word pieces are not those of a BERT, or a library is missing.
    """

    def __init__(
        self, tokenizer: str, shape: Mapping[str, Any], name: str | None = None, cache_folder: Path | None = None
    ) -> None:
        self.tokenizer = library("tokenizers", str(name), "bert").Tokenizer.from_str(tokenizer)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()  # some files pad every caption to one length
        self.shape, self.name, self.cache_folder = dict(shape), name, cache_folder
        special = [self.tokenizer.token_to_id(piece) for piece in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")]
        if special[0] != 0 or None in special:
            raise InputError(
                f"{name}: its word pieces lack [CLS], [SEP] or [MASK], or [PAD] is not the first of them; give a BERT "
                "such as bert-base-uncased"
            )
        _, start, end, self.mask = special
        self.opening, self.closing = [start], [end]

    @classmethod
    def find(cls, name: str, cache_folder: Path | None = None) -> WordPieces:
        """Read the word pieces of a BERT: a folder as transformers writes it, or a name on the hub or in its cache.

        Raises:
            InputError: there is no such BERT, or a library is missing.
        """
        transformers = library("transformers", name, "bert")
        folder = hub_folder(name, FILES)
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            shape = {key: getattr(config, key) for key in SHAPE}
            return cls(tokenizer.backend_tokenizer.to_str(), shape, name, cache_folder)
        except (OSError, ValueError, AttributeError) as problem:
            raise InputError(f"{name}: {first_line(problem)}; expected a BERT with its vocab.txt") from None

    def __len__(self) -> int:
        """Count the ids."""
        return int(self.tokenizer.get_vocab_size())

    def captions(self, captions: Sequence[str], source: Path, max_words: int = MAX_WORDS) -> AugmentedCaptions:
        """Encode captions and print the share of unknown pieces.

        Their ids are kept in `cache_folder`, under a name derived from the captions and the word pieces.

        Args:
            source: the file that the captions were read from, for messages and for the name of the kept file.
            max_words: not read, longer captions are cut to `longest` pieces.

        Raises:
            InputError: most pieces are unknown.
        """
        key = hashlib.sha256(json.dumps([list(captions), self.tokenizer.to_str(), self.longest]).encode()).hexdigest()
        cached = None if self.cache_folder is None else self.cache_folder / f"{source.stem}_pieces_{key[:16]}.npz"
        encoded = None if cached is None else _read_cache(cached, key)
        if encoded is None:
            encoded = self.encode(captions)
            if cached is not None:
                _write_cache(cached, key, *encoded)
        unknown = self.tokenizer.token_to_id("[UNK]")
        if unknown is not None:
            report_unknown(encoded[0], unknown, source)
        return AugmentedCaptions(*encoded, self.mask, len(self), keep_ends=True)

    @property
    def longest(self) -> int:
        """Most pieces between [CLS] and [SEP]; BERT has no positions for more."""
        return int(self.shape["max_position_embeddings"]) - 2

    def encode(self, captions: Sequence[str]) -> tuple[TokenIds, np.ndarray]:
        """Encode captions as [CLS], the pieces of their words, cut to `longest`, [SEP].

        Returns:
            The ids, and where a word begins: [tokens of all captions] bool.
        """
        # The library's threads would not survive in forked loader processes.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        ids, words, longest = [], [], self.longest
        before, after = [-1] * len(self.opening), [-2] * len(self.closing)
        for encoding in self.tokenizer.encode_batch(list(captions), add_special_tokens=False):
            ids.append([*self.opening, *encoding.ids[:longest], *self.closing])
            words.append([*before, *encoding.word_ids[:longest], *after])
        begins = np.diff(Ragged.from_rows(words, np.int32).values, prepend=-3) != 0
        return TokenIds.from_rows(ids, np.int32), begins

    def to_state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {"tokenizer": self.tokenizer.to_str(), "shape": self.shape}


def first_line(problem: Exception) -> str:
    """Shorten a library's message to its first line, without a full stop."""
    return str(problem).strip().partition("\n")[0].rstrip(".")


def _read_cache(path: Path, key: str) -> tuple[TokenIds, np.ndarray] | None:
    """Read cached ids; None if the file is missing, damaged or of other captions."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as cache:
            tokens, begins = TokenIds(cache["ids"], cache["offsets"]), cache["begins"]
            sound = str(cache["key"]) == key and len(begins) == len(tokens.values) == tokens.offsets[-1]
    except Exception:  # a damaged archive may raise almost anything
        return None
    return (tokens, begins) if sound else None


def _write_cache(path: Path, key: str, tokens: TokenIds, begins: np.ndarray) -> None:
    with suppress(InputError, OSError):  # a cache only saves time
        write_atomically(
            path,
            lambda file: np.savez(file, ids=tokens.values, offsets=tokens.offsets, begins=begins, key=np.array(key)),
        )
