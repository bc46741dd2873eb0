"""Objectives against pytorch-metric-learning, which computes them from embeddings of images and captions."""

from __future__ import annotations

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor

from vse.losses import InfoNCE, MaxHinge, Objective, Pairs, SoftMargin, SumHinge
from vse.nn.encoders import l2norm

COSINE = distances.CosineSimilarity()
TRIPLETS = {"distance": COSINE, "reducer": reducers.SumReducer()}


def embeddings() -> tuple[Tensor, Tensor]:
    images, captions = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return l2norm(images), l2norm(captions)


def ours(objective: Objective, image_ids: Tensor) -> float:
    images, captions = embeddings()
    return objective.double()(images @ captions.T, Pairs(image_ids, torch.arange(9))).item()


def theirs(loss: torch.nn.Module, image_ids: Tensor, hardest: bool = False) -> float:
    """Sum of both directions. Labels of another tensor: the same one would mean the same items."""
    total = 0.0
    images, captions = embeddings()
    for queries, candidates in ((images, captions), (captions, images)):
        mined = None
        if hardest:
            mined = miners.BatchHardMiner(distance=COSINE)(queries, image_ids, candidates, image_ids.clone())
        total += loss(queries, image_ids, mined, ref_emb=candidates, ref_labels=image_ids.clone()).item()
    return total


@pytest.mark.parametrize("hardest", [False, True])
def test_hinges_are_the_triplet_margin_loss(hardest: bool):
    ids = torch.arange(9)
    objective = MaxHinge() if hardest else SumHinge()
    expected = theirs(losses.TripletMarginLoss(margin=0.2, **TRIPLETS), ids, hardest)
    assert ours(objective, ids) == pytest.approx(expected, rel=1e-6)


def test_siblings_as_positives_are_all_triplets_of_their_labels():
    ids = torch.tensor([0, 0, 2, 3, 4, 5, 6, 7, 8])
    objective, doubled = SumHinge(same_image="positive"), torch.tensor([0.5, 0.5, *[1.0] * 7]).double()
    images, captions = embeddings()
    expected = 0.0
    for queries, candidates in ((images, captions), (captions, images)):
        loss = losses.TripletMarginLoss(margin=0.2, distance=COSINE, reducer=reducers.DoNothingReducer())
        found = loss(queries, ids, ref_emb=candidates, ref_labels=ids.clone())["loss"]
        expected += (found["losses"] * doubled[found["indices"][0]]).sum().item()
    assert ours(objective, ids) == pytest.approx(expected, rel=1e-6)


def test_soft_margin_equals_the_smooth_triplet_loss():
    ids = torch.arange(9)
    expected = theirs(losses.TripletMarginLoss(margin=0.0, smooth_loss=True, **TRIPLETS), ids)
    assert ours(SoftMargin(sharpness=1.0), ids) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("image_ids", [list(range(9)), [0, 0, 2, 2, 2, 5, 6, 7, 8]])
def test_infonce_is_the_supervised_contrastive_loss(image_ids: list[int]):
    ids = torch.tensor(image_ids)
    expected = theirs(losses.SupConLoss(temperature=0.07), ids) / 2
    assert ours(InfoNCE(), ids) == pytest.approx(expected, rel=1e-6)
