"""Build the BERT that word pieces belong to."""

from __future__ import annotations

from torch import nn

from vse.errors import InputError
from vse.extras import hub_folder, library
from vse.text.word_pieces import FILES, WordPieces, first_line

WEIGHTS = "model.safetensors"


def build_bert(pieces: WordPieces, pretrained: bool = True) -> nn.Module:
    """Build the `BertModel` of transformers that `pieces` belong to.

    Args:
        pieces: word pieces; the shape of their BERT and, for pretrained weights, its name.
        pretrained: load the weights; otherwise they are random.

    Raises:
        InputError: the library is missing, or the weights cannot be found or read.
    """
    transformers = library("transformers", str(pieces.name), "bert")
    if not pretrained:
        random: nn.Module = transformers.BertModel(transformers.BertConfig(**pieces.shape, attn_implementation="sdpa"))
        return random
    folder = hub_folder(str(pieces.name), [*FILES, WEIGHTS])
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        bert: nn.Module = transformers.BertModel.from_pretrained(folder, attn_implementation="sdpa").float()
    except (OSError, ValueError, RuntimeError) as problem:
        raise InputError(f"{pieces.name}: {first_line(problem)}; expected a BERT with its {WEIGHTS}") from None
    return bert
