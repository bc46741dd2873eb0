"""Gradients through selected pairs are those of the dense path; nothing is drawn or selected twice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from SGRAF_LSEH.model import SGRAF
from vse.data.batches import PairBatch
from vse.losses import LSEH, MaxHinge, Objective, Pairs, SelHN, SumHinge
from vse.nn.network import Embeddings, PairwiseNetwork
from vse.training.selected_pairs import selected_pair_scores, training_scores

B = 12


def batch() -> PairBatch:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 9, (B,), generator=generator).sort(descending=True).values
    ids = torch.randint(4, 30, (B, int(lengths[0])), generator=generator)
    ids *= torch.arange(ids.shape[1]) < lengths[:, None]
    return PairBatch(
        images=torch.randn(B, 5, 11, generator=generator, dtype=torch.float64),
        captions=ids,
        lengths=lengths,
        image_ids=torch.arange(B) // 2,
        caption_ids=torch.arange(B),
        descriptions=torch.randn(B, 6, generator=generator, dtype=torch.float64),
    )


def network(module: str) -> SGRAF:
    torch.manual_seed(3)
    network = SGRAF(module, 30, num_regions=5, img_dim=11, word_dim=6, embed_size=16, sim_dim=8).double()
    with torch.no_grad():  # away from the start, where all scores are alike
        for name, parameter in network.similarity_encoder.named_parameters():
            if name.endswith("weight") and parameter.ndim == 2:
                parameter.mul_(2.5)
    return network


def pairs_of(batch: PairBatch) -> Pairs:
    return Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)


def gradients(model: SGRAF, objective: Objective, dense: bool) -> tuple[float, dict[str, Tensor]]:
    given = batch()
    torch.manual_seed(7)  # one draw of dropout for both ways of scoring
    images, captions = model.encode_images(given), model.encode_captions(given)
    if dense:
        loss = objective(model.similarity(images, captions), pairs_of(given))
    else:
        loss = objective(training_scores(model, images, captions, objective, pairs_of(given)), pairs_of(given))
    model.zero_grad()
    loss.backward()
    return loss.item(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "objective",
    [
        MaxHinge(),
        LSEH(max_violation=True),
        LSEH(max_violation=True, margin=2.0),
        SelHN(epsilon=0.0),
        SelHN(epsilon=9.0),
    ],
)
def test_selected_pairs_have_the_gradients_of_the_dense_path(objective: Objective, training: bool) -> None:
    model = network("SGR").train(training)
    dense_loss, dense = gradients(model, objective, dense=True)
    loss, selected = gradients(model, objective, dense=False)
    assert loss == pytest.approx(dense_loss, rel=1e-12)
    assert loss > 0.1
    for name, wanted in dense.items():
        assert (selected[name] - wanted).abs().max() <= 1e-9 * wanted.abs().max() + 1e-13, name
    assert max(wanted.abs().max() for wanted in dense.values()) > 1e-4


def test_float32_gradients_differ_by_rounding_only() -> None:
    model = network("SGR").float()
    given = batch()
    given.images = given.images.float()
    images, captions = model.encode_images(given), model.encode_captions(given)
    dense = model.similarity(images, captions)
    scores = selected_pair_scores(model, images, captions, MaxHinge(), pairs_of(given))
    # The values are one pass's, bit for bit; the second pass brings only gradients.
    with torch.no_grad():
        assert torch.equal(scores, model.similarity(images, captions))
    inputs = (images.features, captions.features)
    ours = torch.autograd.grad(MaxHinge()(scores, pairs_of(given)), inputs, retain_graph=True)
    wanted = torch.autograd.grad(MaxHinge()(dense, pairs_of(given)), inputs)
    for gradient, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


class Counting(PairwiseNetwork[Embeddings, Embeddings]):
    """A scorer of one number per image and caption that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.dense_calls: list[bool] = []
        self.pairs: list[tuple[int, int]] = []

    def similarity(self, images: Embeddings, captions: Embeddings) -> Tensor:
        self.dense_calls.append(torch.is_grad_enabled())
        return self.scale * images.vectors[:, None] * captions.vectors

    def similarity_of_pairs(
        self, images: Embeddings, captions: Embeddings, image_index: Tensor, caption_index: Tensor
    ) -> Tensor:
        self.pairs += list(zip(image_index.tolist(), caption_index.tolist(), strict=True))
        return self.scale * images.vectors[image_index] * captions.vectors[caption_index]


def test_at_most_three_pairs_a_row_are_scored_with_gradient() -> None:
    scorer = Counting()
    size = 40
    images, captions = map(Embeddings, torch.randn(2, size))
    pairs = Pairs(torch.arange(size), torch.arange(size))
    MaxHinge()(training_scores(scorer, images, captions, MaxHinge(), pairs), pairs).backward()
    assert scorer.dense_calls == [False]
    assert size <= len(scorer.pairs) == len(set(scorer.pairs)) <= 3 * size
    assert {(i, i) for i in range(size)} <= set(scorer.pairs)


def test_objectives_that_need_all_pairs_get_the_dense_path() -> None:
    scorer = Counting()
    images, captions = map(Embeddings, torch.randn(2, 6))
    pairs = Pairs(torch.arange(6), torch.arange(6))
    assert training_scores(scorer, images, captions, SumHinge(), pairs).requires_grad
    with torch.no_grad():
        assert not training_scores(scorer, images, captions, MaxHinge(), pairs).requires_grad
    scorer.dense_only = True
    assert training_scores(scorer, images, captions, MaxHinge(), pairs).requires_grad
    assert scorer.dense_calls == [True, False, True]
    assert scorer.pairs == []


def test_saf_takes_the_dense_path() -> None:
    assert network("SAF").dense_only
    assert not network("SGR").dense_only


def test_a_loss_of_zero_gives_zero_gradients_not_none() -> None:
    model = network("SGR")
    for size, objective in ((1, MaxHinge()), (B, MaxHinge(margin=-5.0))):
        given = batch()
        images = model.encode_images(given).rows(slice(size))
        captions = model.encode_captions(given).rows(slice(size))
        pairs = Pairs(given.image_ids[:size], given.caption_ids[:size])
        model.zero_grad(set_to_none=True)
        loss = objective(training_scores(model, images, captions, objective, pairs), pairs)
        loss.backward()
        assert loss.item() == 0
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert not parameter.grad.any(), name
