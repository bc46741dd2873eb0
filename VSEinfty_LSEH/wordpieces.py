"""BERT's word pieces, and BERT itself (`--text_encoder bert`), through the transformers and tokenizers libraries."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vse.errors import InputError
from vse.files import write_atomically
from vse.text.captions import TokenIds, read_captions
from VSEinfty_LSEH.text import AugmentedCaptions

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
"""What of a BERT's configuration its network depends on."""
FILES = ["config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
WEIGHTS = "model.safetensors"


class WordPieces:
    """Word pieces and the shape of the BERT they belong to.

    Args:
        tokenizer: a tokenizer of the tokenizers library, as JSON.
        shape: the values of `SHAPE`.
        name: the folder or the hub's name that it came from and that has its weights.

    Raises:
        InputError: no word pieces of a BERT, or a library is missing.
    """

    def __init__(self, tokenizer: str, shape: Mapping[str, Any], name: str | None = None) -> None:
        self.tokenizer = library("tokenizers").Tokenizer.from_str(tokenizer)
        self.shape, self.name = dict(shape), name
        special = [self.tokenizer.token_to_id(piece) for piece in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")]
        if special[0] != 0 or None in special:
            raise InputError(
                f"--bert {name}: its word pieces lack [CLS], [SEP] or [MASK], or [PAD] is not the first of them; give "
                "a BERT such as bert-base-uncased"
            )
        _, self.start, self.end, self.mask = special

    @classmethod
    def find(cls, name: str) -> WordPieces:
        """The word pieces of a BERT: a folder as transformers writes it, or a name on the hub or in its cache.

        Raises:
            InputError: neither, or a library is missing.
        """
        transformers = library("transformers")
        folder = _folder(name, FILES)
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            shape = {key: getattr(config, key) for key in SHAPE}
            return cls(tokenizer.backend_tokenizer.to_str(), shape, name)
        except (OSError, ValueError, AttributeError) as problem:
            raise InputError(f"--bert {name}: {_first_line(problem)}; expected a BERT with its vocab.txt") from None

    def __len__(self) -> int:
        """Ids in all."""
        return int(self.tokenizer.get_vocab_size())

    def captions(self, path: Path) -> AugmentedCaptions:
        """The captions of a file; their ids are kept beside it, under a name that stands for content and pieces.

        Raises:
            InputError: as `vse.text.captions.read_captions`.
        """
        captions = read_captions(path)
        key = hashlib.sha256(json.dumps([captions, self.tokenizer.to_str(), self.longest]).encode()).hexdigest()
        cached = path.with_name(f"{path.stem}_pieces_{key[:16]}.npz")
        encoded = _read_cache(cached, key)
        if encoded is None:
            encoded = self.encode(captions)
            tokens, begins = encoded
            with suppress(InputError, OSError):  # a cache only saves time
                write_atomically(
                    cached,
                    lambda file: np.savez(
                        file, ids=tokens.ids, offsets=tokens.offsets, begins=begins, key=np.array(key)
                    ),
                )
        return AugmentedCaptions(*encoded, self.mask, len(self), keep_ends=True)

    @property
    def longest(self) -> int:
        """Pieces that fit between [CLS] and [SEP]; BERT has no positions for more."""
        return int(self.shape["max_position_embeddings"]) - 2

    def encode(self, captions: Sequence[str]) -> tuple[TokenIds, np.ndarray]:
        """[CLS], the pieces of a caption's words, [SEP]; and [tokens of all captions] bool, where a word begins.

        Captions are cut to what BERT has positions for.
        """
        os.environ.setdefault(
            "TOKENIZERS_PARALLELISM", "false"
        )  # its threads would not survive forked loader processes
        ids, words = [], []
        for encoding in self.tokenizer.encode_batch(list(captions), add_special_tokens=False):
            ids.append([self.start, *encoding.ids[: self.longest], self.end])
            words.append([-1, *encoding.word_ids[: self.longest], -2])
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in ids], out=offsets[1:])
        word = np.fromiter(chain.from_iterable(words), np.int32, offsets[-1])
        begins = np.diff(word, prepend=0) != 0
        return TokenIds(np.fromiter(chain.from_iterable(ids), np.int32, offsets[-1]), offsets), begins

    def to_state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"tokenizer": self.tokenizer.to_str(), "shape": self.shape}

    def bert(self, pretrained: bool = True) -> nn.Module:
        """The BERT, with its weights if `pretrained`.

        Raises:
            InputError: its weights cannot be found or read.
        """
        transformers = library("transformers")
        if not pretrained:
            return transformers.BertModel(transformers.BertConfig(**self.shape, attn_implementation="sdpa"))
        folder = _folder(str(self.name), [*FILES, WEIGHTS])
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            return transformers.BertModel.from_pretrained(folder, attn_implementation="sdpa").float()
        except (OSError, ValueError, RuntimeError) as problem:
            raise InputError(
                f"--bert {self.name}: {_first_line(problem)}; expected a BERT with its {WEIGHTS}"
            ) from None


def _folder(name: str, files: list[str]) -> str:
    """The folder `name`, or the one in the hub's cache that these files of the model `name` are in, fetched if need be.

    Raises:
        InputError: there is neither, and no network.
    """
    if Path(name).is_dir():
        return name
    try:
        return library("huggingface_hub").snapshot_download(name, allow_patterns=files)
    except InputError:
        raise
    except Exception as problem:  # the hub's client raises what it likes
        raise InputError(
            f"--bert {name}: no such folder, not in the cache of the Hugging Face hub, and it cannot be fetched "
            f"({type(problem).__name__}); give the folder of a downloaded BERT, or choose --text_encoder bigru"
        ) from None


def library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InputError(
            "--text_encoder bert needs the transformers library: pip install 'vse[bert]', or choose --text_encoder "
            "bigru"
        ) from None


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0].rstrip(".")


def _read_cache(path: Path, key: str) -> tuple[TokenIds, np.ndarray] | None:
    """The cached ids, or None where there are none to trust."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as cache:
            tokens, begins = TokenIds(cache["ids"], cache["offsets"]), cache["begins"]
            sound = str(cache["key"]) == key and len(begins) == len(tokens.ids) == tokens.offsets[-1]
    except Exception:  # a damaged archive may raise almost anything
        return None
    return (tokens, begins) if sound else None
