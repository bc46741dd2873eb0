"""What training and evaluation ask of a network, and the encoder blocks that two networks or more are built from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from vse.nn.recurrence import GRU, pad


def l2norm(x: Tensor, dim: int = -1, eps: float = 0.0) -> Tensor:
    """x / (||x|| + eps) along `dim`, any shape; eps is added to the norm, outside the root, as published.

    A zero vector stays zero, with a gradient of the size of what comes in, where the published code gives NaN.
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / (norm + eps).masked_fill(norm == 0, 1.0)


def xavier_uniform_linear(linear: nn.Linear) -> nn.Linear:
    """Glorot-uniform weight (r = sqrt(6 / (in + out))) and zero bias, the networks' common initialisation."""
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class CaptionGRU(nn.Module):
    """Word vectors and a GRU over them: token ids -> one hidden state per token.

    State-dict names are the published `embed.*` and `rnn.*`. Word vectors start uniform in [-0.1, 0.1], the GRU as
    torch has it; the random numbers are drawn in the published order (embedding, GRU, then the uniform overwrite).

    Args:
        dropout: probability on the word vectors (SGRAF: 0.4).
        bidirectional: the two directions are averaged, so that the state keeps `embed_size` (SCAN's convention).
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
        """[B, T] ids, [B] lengths (in any order) -> [B, T, D] states, exactly 0 at padding."""
        words = self.dropout(self.embed(captions))
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states = pad(self.rnn(packed)[0], captions.shape[1])
        if self.rnn.bidirectional:
            states = states.unflatten(-1, (2, -1)).mean(dim=-2)
        return states


def last_states(states: Tensor, lengths: Tensor) -> Tensor:
    """[B, T, D] states, [B] lengths -> [B, D], the state after each caption's last token."""
    rows = torch.arange(len(states), device=states.device)
    return states[rows, lengths.to(states.device) - 1]


NORM_EPSILON = 1e-8
"""Added to the norms of local features, as published (SCAN and its descendants)."""


class RegionProjection(nn.Module):
    """Linear map of each region into the joint space: [B, R, F] -> [B, R, D] (SGRAF, GSMN)."""

    def __init__(self, img_dim: int, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.fc = xavier_uniform_linear(nn.Linear(img_dim, embed_size))
        self.normalise = normalise

    def forward(self, images: Tensor) -> Tensor:
        regions = self.fc(images)
        return l2norm(regions, eps=NORM_EPSILON) if self.normalise else regions


class WordStates(CaptionGRU):
    """The GRU's state at each word: [B, T] ids, [B] lengths -> [B, T, D], 0 at padding (SGRAF, GSMN)."""

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
        states = super().forward(captions, lengths)
        return l2norm(states, eps=NORM_EPSILON) if self.normalise else states


class ImageProjection(nn.Module):
    """Linear projection of an image's features into the joint space; regions are flattened first (VSE++, HAL).

    `fc.*` are the published state-dict names.

    Args:
        normalise: L2-normalise the embedding (`--no_imgnorm` turns it off).
        absolute: absolute values, after the normalisation (`--use_abs`, order embeddings).
    """

    def __init__(self, in_features: int, embed_size: int, normalise: bool = True, absolute: bool = False) -> None:
        super().__init__()
        self.fc = xavier_uniform_linear(nn.Linear(in_features, embed_size))
        self.normalise = normalise
        self.absolute = absolute

    def forward(self, images: Tensor) -> Tensor:
        """[B, R, D] or [B, D] with R * D = in_features -> [B, E]."""
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
        """[B, T] ids, [B] lengths -> [B, E]."""
        embeddings = l2norm(last_states(super().forward(captions, lengths), lengths))
        return embeddings.abs() if self.absolute else embeddings


def order_similarity(images: Tensor, captions: Tensor, block_bytes: int = 2**26) -> Tensor:
    """Order-violation score -||max(0, caption - image)||_2 (Vendrov et al. 2016): [n, E], [m, E] -> [n, m], <= 0.

    The [n, m, E] differences are made for blocks of images of at most `block_bytes`; the gradient at an exactly
    satisfied pair is 0.
    """
    rows = max(1, block_bytes // (captions.numel() * captions.element_size()))
    blocks = []
    for block in images.split(rows):
        violation = (captions[None] - block[:, None]).clamp(min=0)
        blocks.append(-torch.linalg.vector_norm(violation, dim=-1))
    return torch.cat(blocks)
