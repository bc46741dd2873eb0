"""Captions as the pieces of any text tower of the transformers library: BERT and its like, CLIP, SigLIP 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vse.errors import InputError
from vse.extras import hub_folder, library
from vse.text.word_pieces import WordPieces, first_line

FILES = ["config.json", "vocab.*", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
"""Files of a tower's tokenizer, and its configuration; some folders lack some of them."""

AFTER_PADDING = ("roberta", "xlm-roberta", "mpnet")
"""Models whose positions begin behind the id of padding."""


class TowerPieces(WordPieces):
    """Pieces as a text tower's own tokenizer cuts them, with what it puts around a caption.

    Where the tokenizer has no mask (CLIP), training drops the words that it would mask.

    Args:
        tokenizer: a tokenizer of the tokenizers library, as JSON.
        config: the tower's configuration as plain values.
        mask: id of the mask, or None.
        name: folder or name on the hub of the tower.
        cache_folder: where the ids of caption files are kept; None keeps them in memory only.
    """

    def __init__(
        self,
        tokenizer: str,
        config: Mapping[str, Any],
        mask: int | None,
        name: str | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        self.tokenizer = library("tokenizers", str(name), "bert").Tokenizer.from_str(tokenizer)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.config, self.name, self.cache_folder, self.mask = dict(config), name, cache_folder, mask
        plain = self.tokenizer.encode("a", add_special_tokens=False).ids
        whole = self.tokenizer.encode("a").ids
        begin = next(place for place in range(len(whole)) if whole[place : place + len(plain)] == plain)
        self.opening, self.closing = whole[:begin], whole[begin + len(plain) :]

    @classmethod
    def find(cls, name: str, cache_folder: Path | None = None) -> TowerPieces:
        """Read the tokenizer of a tower: a folder as transformers writes it, or a name on the hub or in its cache.

        Raises:
            InputError: there is no such tower, its tokenizer is of another kind, or a library is missing.
        """
        transformers = library("transformers", name, "bert")
        folder = hub_folder(name, FILES)
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, ImportError) as problem:
            raise InputError(f"{name}: {first_line(problem)}; expected a text tower with its tokenizer") from None
        backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        if not hasattr(backend, "to_str"):
            raise InputError(
                f"{name}: its tokenizer has no tokenizer.json; choose a BERT, CLIP or SigLIP 2 (the first SigLIP reads "
                "captions with sentencepiece)"
            )
        text_config = json.loads(getattr(config, "text_config", config).to_json_string(use_diff=False))
        return cls(backend.to_str(), text_config, tokenizer.mask_token_id, name, cache_folder)

    @property
    def longest(self) -> int:
        """Most pieces of a caption; the tower has no positions for more."""
        positions = int(self.config["max_position_embeddings"])
        if self.config["model_type"] in AFTER_PADDING:
            positions -= int(self.config["pad_token_id"]) + 1
        return positions - len(self.opening) - len(self.closing)

    def to_state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {"tokenizer": self.tokenizer.to_str(), "config": self.config, "mask": self.mask}
