"""Encoders and functions that two or more networks are built from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vse.nn.recurrence import GRU, pack, pad
from vse.nn.transfer import send

NORM_EPSILON = 1e-8
"""Added to norms that are divided by, as in the original code of SCAN and its descendants."""


def l2norm(x: Tensor, dim: int = -1, eps: float = 0.0) -> Tensor:
    """Normalise x / (||x|| + eps) along `dim`, any shape; eps is added outside the root, as in the original code.

    A zero vector stays zero and passes the gradient on unscaled, where the original code gives NaN.
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / (norm + eps).masked_fill(norm == 0, 1.0)


def xavier_uniform_linear(linear: nn.Linear) -> nn.Linear:
    """Initialise a linear layer as all networks do: Glorot-uniform weight (r = sqrt(6 / (in + out))), zero bias."""
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class CaptionGRU(nn.Module):
    """Word vectors and a GRU over them: token ids -> one hidden state per token.

    State-dict names are those of the original code, `embed.*` and `rnn.*`. Word vectors start uniform in [-0.1, 0.1],
    the GRU as in torch; random numbers are drawn in the original order (embedding, GRU, then the uniform values).

    Args:
        dropout: probability on the word vectors (SGRAF: 0.4).
        bidirectional: average the two directions, so that the state keeps `embed_size` (SCAN's convention).
    """

    def __init__(
        self,
        vocab_size: int,
        word_dim: int,
        embed_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, word_dim)
        self.dropout = nn.Dropout(dropout)
        self.rnn = GRU(word_dim, embed_size, num_layers, batch_first=True, bidirectional=bidirectional)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Read captions [B, T] of `lengths` [B], in any order -> states [B, T, E], exactly 0 at padding."""
        if self._reads_words_once(captions):
            packed = self.rnn.read_words(pack(captions, lengths), self.embed)
        else:
            packed = self.rnn(pack(self.dropout(self.embed(captions)), lengths))[0]
        states = pad(packed, captions.shape[1])
        if self.rnn.bidirectional:
            states = states.unflatten(-1, (2, -1)).mean(dim=-2)
        return states

    def _reads_words_once(self, captions: Tensor) -> bool:
        drops = self.training and self.dropout.p > 0
        return captions.device.type == "cpu" and not drops and not torch.onnx.is_in_onnx_export()


def last_states(states: Tensor, lengths: Tensor) -> Tensor:
    """Take the state after each caption's last token: states [B, T, E], lengths [B] -> [B, E]."""
    rows = torch.arange(states.shape[0], device=states.device)
    return states[rows, send(lengths - 1, states.device)]


class RegionProjection(nn.Module):
    """Linear projection of each region into the joint space (SGRAF, GSMN)."""

    def __init__(self, img_dim: int, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.fc = xavier_uniform_linear(nn.Linear(img_dim, embed_size))
        self.normalise = normalise

    def forward(self, images: Tensor) -> Tensor:
        """Project regions [B, R, D] -> [B, R, E]."""
        regions = self.fc(images)
        return l2norm(regions, eps=NORM_EPSILON) if self.normalise else regions


class WordStates(CaptionGRU):
    """The GRU's state at each word, normalised (SGRAF, GSMN)."""

    def __init__(
        self,
        vocab_size: int,
        word_dim: int,
        embed_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        normalise: bool = True,
    ) -> None:
        super().__init__(vocab_size, word_dim, embed_size, num_layers, bidirectional, dropout)
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Read captions [B, T] of `lengths` [B] -> states [B, T, E], exactly 0 at padding."""
        states = super().forward(captions, lengths)
        return l2norm(states, eps=NORM_EPSILON) if self.normalise else states


class ImageProjection(nn.Module):
    """Linear projection of an image's features into the joint space; regions are flattened first (VSE++, HAL).

    State-dict names are those of the original code, `fc.*`.

    Args:
        normalise: L2-normalise the embedding.
        absolute: take absolute values after the normalisation (order embeddings).
    """

    def __init__(self, in_features: int, embed_size: int, normalise: bool = True, absolute: bool = False) -> None:
        super().__init__()
        self.fc = xavier_uniform_linear(nn.Linear(in_features, embed_size))
        self.normalise = normalise
        self.absolute = absolute

    def forward(self, images: Tensor) -> Tensor:
        """Project features [B, R, D] or [B, D], where R * D or D is `in_features` -> [B, E]."""
        embeddings = self.fc(images.flatten(1))
        if self.normalise:
            embeddings = l2norm(embeddings)
        return embeddings.abs() if self.absolute else embeddings


class CaptionEmbedding(CaptionGRU):
    """A caption's embedding: the normalised GRU state after its last token (VSE++, VSRN, HAL)."""

    def __init__(
        self, vocab_size: int, word_dim: int, embed_size: int, num_layers: int = 1, absolute: bool = False
    ) -> None:
        super().__init__(vocab_size, word_dim, embed_size, num_layers)
        self.absolute = absolute

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Read captions [B, T] of `lengths` [B] -> [B, E]."""
        embeddings = l2norm(last_states(super().forward(captions, lengths), lengths))
        return embeddings.abs() if self.absolute else embeddings


def order_similarity(images: Tensor, captions: Tensor, block_bytes: int = 2**26) -> Tensor:
    """Score by order violations, -||max(0, caption - image)||_2: [n, E], [m, E] -> [n, m], at most 0.

    Vendrov et al., "Order-Embeddings of Images and Language", ICLR 2016, without the square. The gradient is 0 at a
    pair in perfect order.

    Args:
        block_bytes: bytes that the differences [n, m, E] of one block of images may take.
    """
    rows = max(1, block_bytes // (captions.numel() * captions.element_size()))
    blocks = []
    for block in images.split(rows):
        violation = (captions[None] - block[:, None]).clamp(min=0)
        blocks.append(-torch.linalg.vector_norm(violation, dim=-1))
    return torch.cat(blocks)
