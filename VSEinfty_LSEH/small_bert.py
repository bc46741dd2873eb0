"""Make a small BERT with random weights, whose pieces are words and letters of a data set's captions.

    python small_bert.py --data_path $DATA_PATH --data_name f30k --output small_bert
    python train.py --data_path $DATA_PATH --data_name f30k --bert small_bert

To try `--text_encoder bert` without a network, and for tests. It knows no language: a pretrained BERT is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vse.cli import run
from vse.console import say
from vse.data.preparing import prepare_data_set
from vse.extras import library
from vse.files import writable_folder
from vse.options import Maybe
from vse.ranges import AtLeast0, AtLeast1
from vse.text.captions import read_captions

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@dataclass
class Options:
    """The captions, and the size of the BERT."""

    data_path: Maybe[str] = None
    """Folder that holds the data set folders; default: the repository's data/ folder."""
    data_name: Maybe[str] = None
    """Data set whose training captions are read; without --data_path and --data_name the built-in demo."""
    output: str = "small_bert"
    """Folder to write config.json, vocab.txt and model.safetensors to."""
    pieces: AtLeast1 = 4000
    """Maximum number of pieces: letters, then the most frequent words; other words are spelled."""
    hidden_size: AtLeast1 = 128
    """Size of the hidden states."""
    layers: AtLeast1 = 2
    """Transformer layers."""
    heads: AtLeast1 = 4
    """Attention heads."""
    seed: AtLeast0 = 0
    """Random seed of the weights."""


def choose_pieces(words: Iterable[str], most: int) -> list[str]:
    """Choose special pieces, all letters at the beginning of a word and within one, then the most frequent words."""
    counts = Counter(words)
    letters = sorted({letter for word in counts for letter in word})
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    frequent = sorted(counts.keys() - set(letters), key=lambda word: (-counts[word], word))
    return [*pieces, *frequent[: max(0, most - len(pieces))]]


def main(options: Options) -> None:
    """Write the folder that `--bert` names."""
    tokenizers, transformers = (library(name, "a small BERT", "bert") for name in ("tokenizers", "transformers"))
    captions = read_captions(prepare_data_set(options.data_path, options.data_name) / "train_caps.txt")
    normalise = tokenizers.normalizers.BertNormalizer(lowercase=True).normalize_str
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    pieces = choose_pieces((word for caption in captions for word, _ in split(normalise(caption))), options.pieces)

    folder = writable_folder(options.output, "--output")
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    torch.manual_seed(options.seed)
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(pieces),
            hidden_size=options.hidden_size,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            intermediate_size=4 * options.hidden_size,
            max_position_embeddings=512,
        )
    )
    transformers.logging.disable_progress_bar()
    bert.save_pretrained(folder)
    say(f"{folder}: {len(pieces)} word pieces, {sum(p.numel() for p in bert.parameters()):,} parameters")


if __name__ == "__main__":
    run(main, Options)
