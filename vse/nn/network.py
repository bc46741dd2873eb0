"""What training and evaluation ask of a network, and the encoder blocks that two networks or more are built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from vse.data.batches import Batch

Encoding = Tensor | tuple[Tensor, ...]
"""Encoded items: a tensor whose first dimension counts the items, or a (named) tuple of such tensors.

Local features (words, regions) have three dimensions or more and may be padded along dimension 1; a field `lengths` of
the tuple then says how far."""


class Network(nn.Module):
    """Base of the six networks: encode images, encode captions, score the one against the other.

    Subclasses build `image_encoder` and `caption_encoder` and override what the defaults below do not fit.
    """

    pairwise = False
    """True where a score needs the pair itself (cross attention), so that there is no one embedding per item."""

    dense_only = False
    """Of a pairwise scorer: a score depends on the batch's other pairs, so that single pairs cannot be scored again."""

    smallest_batch = 1
    """Pairs that a training batch needs at least (2 where a BatchNorm sees one vector per pair)."""

    bounded_scores = True
    """Scores are cosine-like, in [-1, 1]."""

    published_parts: tuple[str, ...] = ("image_encoder.", "caption_encoder.")
    """Where the state dicts of a published checkpoint's `model` list go."""

    image_encoder: nn.Module
    caption_encoder: nn.Module

    def encode_images(self, batch: Batch) -> Encoding:
        """`batch.images` -> embeddings [B, D], or local features of a pairwise scorer."""
        return self.image_encoder(batch.images)

    def encode_captions(self, batch: Batch) -> Encoding:
        """`batch.captions` [B, T] and `batch.lengths` [B] -> embeddings [B, D], or local features."""
        return self.caption_encoder(batch.captions, batch.lengths)

    def scored(self, encoding: Encoding) -> Encoding:
        """What `similarity` reads of an encoding: that much is gathered from other processes (VSRN: no regions)."""
        return encoding

    def similarity(self, images: Encoding, captions: Encoding) -> Tensor:
        """n encoded images, m encoded captions -> scores [n, m], differentiable; default: dot products."""
        assert isinstance(images, Tensor)
        assert isinstance(captions, Tensor)
        return images @ captions.T

    def extra_loss(self, batch: Batch, images: Encoding, captions: Encoding) -> dict[str, Tensor]:
        """Terms the network adds to the objective, by the name they are logged under (VSRN: captioning)."""
        return {}

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """A published checkpoint's `model` list and `opt` values -> a state dict of this network."""
        return {
            prefix + name: tensor
            for part, prefix in zip(parts, self.published_parts, strict=True)
            for name, tensor in part.items()
        }

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Optimizer groups in the published parameter order: captions first, then images, frozen ones left out."""
        trained = [*self.caption_encoder.parameters(), *self.image_encoder.parameters()]
        return [{"params": [p for p in trained if p.requires_grad], "lr": learning_rate}]


class PairScorer(Protocol):
    """What a cross-attention network offers besides `similarity`."""

    dense_only: bool
    """True where a score depends on the other pairs of the batch, so that single pairs cannot be scored again."""

    def similarity(self, images: Encoding, captions: Encoding) -> Tensor: ...

    def similarity_of_pairs(
        self, images: Encoding, captions: Encoding, image_index: Tensor, caption_index: Tensor
    ) -> Tensor:
        """Rows [P] of the encoded images and of the encoded captions -> scores [P], as `similarity` has them."""
        ...
