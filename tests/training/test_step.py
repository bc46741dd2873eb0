"""One training step: what enters the loss, in which precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vse.data.batches import CaptionBatch, ImageBatch, PairBatch
from vse.losses import LSEH, MaxHinge, Pairs, SumHinge
from vse.nn.network import EmbeddingNetwork, Embeddings, PairwiseNetwork, RegionSet
from vse.training.step import TrainingStep

B = 4


class Products(EmbeddingNetwork):
    """Linear layers; a term of its own; keeps what `similarity` was given."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Linear(3, 5)
        self.caption_encoder = nn.Linear(6, 5)
        self.given: list[Embeddings] = []

    def encode_captions(self, captions: CaptionBatch) -> Embeddings:
        return Embeddings(self.caption_encoder(captions.captions.float()))

    def similarity(self, images: Embeddings, captions: Embeddings) -> Tensor:
        self.given += [images, captions]
        return super().similarity(images, captions)

    def extra_loss(self, batch: PairBatch, images: Embeddings, captions: Embeddings) -> dict[str, Tensor]:
        return {"length": images.vectors.square().sum()}


class BestRegions(PairwiseNetwork[RegionSet, Embeddings]):
    """The best region of each image for each caption; keeps the data type of its products."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Linear(3, 5)
        self.caption_encoder = nn.Linear(6, 5)
        self.types: list[torch.dtype] = []

    def encode_images(self, images: ImageBatch) -> RegionSet:
        return RegionSet(self.image_encoder(images.images[:, None]))

    def encode_captions(self, captions: CaptionBatch) -> Embeddings:
        return Embeddings(self.caption_encoder(captions.captions.float()))

    def similarity(self, images: RegionSet, captions: Embeddings) -> Tensor:
        products = images.features @ captions.vectors.T
        self.types.append(products.dtype)
        return products.amax(dim=1)


def batch() -> PairBatch:
    generator = torch.Generator().manual_seed(0)
    return PairBatch(
        images=torch.randn(B, 3, generator=generator),
        captions=torch.randint(1, 9, (B, 6), generator=generator),
        lengths=torch.full((B,), 6),
        image_ids=torch.arange(B),
        caption_ids=torch.arange(B),
        descriptions=torch.randn(B, 7, generator=generator),
    )


def test_the_loss_is_both_directions_and_the_networks_own_terms() -> None:
    network, objective, given = Products(), LSEH(), batch()
    result = TrainingStep(network, objective)(given)
    images, captions = network.encode_images(given), network.encode_captions(given)
    pairs = Pairs(given.image_ids, given.caption_ids, given.descriptions)
    wanted = objective(network.similarity(images, captions), pairs) + images.vectors.square().sum()
    torch.testing.assert_close(result.loss, wanted)
    torch.testing.assert_close(result.image_to_text + result.text_to_image + result.extra["length"], wanted)


def test_scores_are_returned_without_their_gradient() -> None:
    result = TrainingStep(Products(), SumHinge())(batch())
    assert result.loss.requires_grad
    assert not result.scores.requires_grad
    assert result.scores.shape == (B, B)


def test_embeddings_are_compared_in_float32_under_autocast() -> None:
    network = Products()
    result = TrainingStep(network, MaxHinge(), autocast=True)(batch())
    assert {encoding.vectors.dtype for encoding in network.given} == {torch.float32}
    assert result.scores.dtype == torch.float32


@pytest.mark.parametrize("autocast", [False, True])
def test_pairwise_scores_are_computed_under_autocast(autocast: bool) -> None:
    network = BestRegions()
    result = TrainingStep(network, SumHinge(), autocast)(batch())
    assert network.types == [torch.bfloat16 if autocast else torch.float32]
    assert result.scores.dtype == torch.float32
