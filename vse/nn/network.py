"""What training and evaluation ask of a network: encode images, encode captions, score encodings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from vse.data.batches import CaptionBatch, ImageBatch, PairBatch
from vse.errors import InputError
from vse.nn.transfer import send


@dataclass(frozen=True, eq=False)
class Encoding:
    """Encoded images or encoded captions: a set of tensors, row i of each belongs to item i.

    Subclasses add the tensors as fields.
    """

    def tensors(self) -> list[Tensor]:
        """Return the tensors in the order of the fields; those that may be None come last."""
        values = [getattr(self, field.name) for field in fields(self)]
        return [value for value in values if value is not None]

    def __len__(self) -> int:
        """Count the items."""
        return len(self.tensors()[0])

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply `change` to every tensor."""
        return type(self)(*map(change, self.tensors()))

    def rows(self, index: Tensor | slice) -> Self:
        """Select items by a slice or by their int64 indices [B], on any device."""
        # Not by index_select: CUDA would add the gradients of an item that is selected twice in any order.
        return self.map(lambda tensor: tensor[index if isinstance(index, slice) else send(index, tensor.device)])

    def cut(self, longest: int) -> Self:
        """Cut padding behind the first `longest` words; an encoding without padding stays as it is."""
        return self

    def to(self, device: torch.device | str) -> Self:
        """Move the tensors to `device`, except lengths, which stay on the host."""
        return self.map(lambda tensor: tensor.to(device))


@dataclass(frozen=True, eq=False)
class Embeddings(Encoding):
    """One vector per item."""

    vectors: Tensor  # [B, E]


@dataclass(frozen=True, eq=False)
class RegionSet(Encoding):
    """The regions of each image."""

    features: Tensor  # [N, R, E]


@dataclass(frozen=True, eq=False)
class WordSet(Encoding):
    """The words of each caption."""

    features: Tensor  # [M, T, E], exactly 0 at padding
    lengths: Tensor  # [M] words per caption, int64, on the host

    def cut(self, longest: int) -> Self:
        """Keep the first `longest` words of each caption."""
        return replace(self, features=self.features[:, :longest])

    def to(self, device: torch.device | str) -> Self:
        """Move the tensors to `device`, except lengths, which stay on the host."""
        return replace(super().to(device), lengths=self.lengths)


def uniform_regions(images: ImageBatch) -> Tensor:
    """Return the regions [B, R, D] of a batch, for networks that need R regions in every image.

    Raises:
        InputError: the images have different numbers of regions.
    """
    if images.region_lengths is None:
        return images.images
    fewest, most = int(images.region_lengths.min()), int(images.region_lengths.max())
    raise InputError(
        f"images with {fewest} to {most} regions: this network needs the same number in every image; cut them with "
        "python -m vse convert --regions N, N being the smallest number, or train another network"
    )


ImagesT = TypeVar("ImagesT", bound=Encoding)
CaptionsT = TypeVar("CaptionsT", bound=Encoding)


class Network(nn.Module, Generic[ImagesT, CaptionsT]):
    """Base of all networks: encode images, encode captions, score every image against every caption.

    A network derives from one of the two subclasses: `EmbeddingNetwork` if an item is one vector and scores are
    products of vectors, `PairwiseNetwork` if a score needs both items at once (cross-attention).
    """

    smallest_batch = 1
    """Fewest pairs of a training batch (2 where a BatchNorm sees one vector per pair)."""

    any_regions = True
    """Takes images of other numbers of regions than those that it was trained on."""

    bounded_scores = True
    """Scores are cosine-like, in [-1, 1]."""

    published_parts: tuple[str, ...] = ("image_encoder.", "caption_encoder.")
    """Prefixes of this network's state dict for the parts of the original code's `model` list, in its order."""

    image_encoder: nn.Module
    caption_encoder: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.image_tower: nn.Module | None = None
        """Pretrained network in front of the image encoder, pixels -> [B, R, D] or [B, D] (`vse.nn.towers`)."""

    def see(self, images: ImageBatch) -> ImageBatch:
        """Replace pictures by the image tower's features; without a tower the batch stays as it is."""
        return images if self.image_tower is None else replace(images, images=self.image_tower(images.images))

    def encode_images(self, images: ImageBatch) -> ImagesT:
        """Encode the images of a batch."""
        raise NotImplementedError

    def encode_captions(self, captions: CaptionBatch) -> CaptionsT:
        """Encode the captions of a batch."""
        raise NotImplementedError

    def similarity(self, images: ImagesT, captions: CaptionsT) -> Tensor:
        """Score n images against m captions -> [n, m], differentiable."""
        raise NotImplementedError

    def scored(self, images: ImagesT) -> ImagesT:
        """Reduce encoded images to what `similarity` reads; only that is gathered from other processes."""
        return images

    def extra_loss(self, batch: PairBatch, images: ImagesT, captions: CaptionsT) -> dict[str, Tensor]:
        """Compute the network's own terms of the loss, by the names that they are logged under (VSRN: captioning)."""
        return {}

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a checkpoint of the original code, its `model` list and `opt` values, into a state dict."""
        return {
            prefix + name: tensor
            for part, prefix in zip(parts, self.published_parts, strict=True)
            for name, tensor in part.items()
        }

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """List the trained parameters for an optimizer, in the original code's order: captions, then images."""
        tower = [] if self.image_tower is None else self.image_tower.parameters()
        trained = [*self.caption_encoder.parameters(), *self.image_encoder.parameters(), *tower]
        return [{"params": [p for p in trained if p.requires_grad], "lr": learning_rate}]


class EmbeddingNetwork(Network[Embeddings, Embeddings]):
    """A network whose items are single vectors; scores are their inner products.

    Subclasses build `image_encoder` (images -> [B, E]) and `caption_encoder` (token ids, lengths -> [B, E]).
    """

    def encode_images(self, images: ImageBatch) -> Embeddings:
        """Encode features or pictures -> vectors [B, E]."""
        return Embeddings(self.image_encoder(self.see(images).images))

    def encode_captions(self, captions: CaptionBatch) -> Embeddings:
        """Encode token ids [B, T] -> vectors [B, E]."""
        return Embeddings(self.caption_encoder(captions.captions, captions.lengths))

    def similarity(self, images: Embeddings, captions: Embeddings) -> Tensor:
        """Score n images against m captions by inner products -> [n, m]."""
        return images.vectors @ captions.vectors.T


class PairwiseNetwork(Network[ImagesT, CaptionsT]):
    """A network whose scores need image and caption at once, so that no item has an embedding (cross-attention)."""

    dense_only = False
    """A score depends on the other pairs of the batch, so that single pairs cannot be scored again."""

    def similarity_of_pairs(
        self, images: ImagesT, captions: CaptionsT, image_index: Tensor, caption_index: Tensor
    ) -> Tensor:
        """Score the P pairs (image_index[p], caption_index[p]) -> [P], equal to their entries in `similarity`.

        Args:
            images: n encoded images.
            captions: m encoded captions.
            image_index: [P] int64, rows of `images`.
            caption_index: [P] int64, rows of `captions`.
        """
        raise NotImplementedError

    def score_bytes(self, images: ImagesT, captions: CaptionsT) -> int:
        """Estimate the bytes that scoring takes per pair, from one encoded image and the longest caption of a block."""
        return sum(tensor.nbytes for tensor in (*images.tensors(), *captions.tensors()))
