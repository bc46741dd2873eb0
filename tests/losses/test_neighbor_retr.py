"""NeighborRetr against its definition, term by term."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.losses.plain import RULES, Matrix, batches, cosine, inner, log_sum, queries, random_pairs, softmax
from vse.errors import InputError
from vse.losses import InfoNCE, NeighborRetr, Pairs
from vse.losses.neighbor_retr import sinkhorn

BANK = [[[0.2, -0.4, 0.1], [0.3, 0.3, -0.5]], [[0.6, 0.1, 0.0], [-0.2, 0.4, 0.4]]]
"""Images and captions in the bank."""


def plain_plan(scores: Matrix, candidates: list[set[int]]) -> Matrix:
    size = len(scores)
    kernel = [[math.exp(scores[i][j] / 0.1) if j in candidates[i] else 0.0 for j in range(size)] for i in range(size)]
    columns = [1.0] * size
    for _ in range(50):
        rows = [1 / sum(kernel[i][j] * columns[j] for j in range(size)) for i in range(size)]
        columns = [1 / sum(rows[i] * kernel[i][j] for i in range(size)) for j in range(size)]
    return [[rows[i] * kernel[i][j] * columns[j] for j in range(size)] for i in range(size)]


def scaled(values: dict[int, float], far: list[int], keys: list[int]) -> dict[int, float]:
    rest = [values[other] for other in far]
    if not rest or max(rest) == min(rest):
        return dict.fromkeys(keys, 0.0)
    return {key: (values[key] - min(rest)) / (max(rest) - min(rest)) for key in keys}


def plain_neighbor_retr(batch, embeddings: tuple[Matrix, Matrix], rule: str, count: int) -> float:
    scores, images, _ = batch
    size, total = len(scores), 0.0
    every = list(queries(scores, images, rule))
    plan = plain_plan(scores, [{*p, *n} for _, _, p, n in every[:size]])
    for number, (query, row, positives, negatives) in enumerate(every):
        direction = number // size
        own, other = embeddings[direction], embeddings[1 - direction]
        candidates = sorted(positives + negatives)
        # 1: a central query weighs more.
        centrality = sum(cosine(own[query], item) for item in own) / size
        denominator = log_sum([row[c] / 0.07 for c in candidates])
        cross_entropy = sum(denominator - row[right] / 0.07 for right in positives) / len(positives)
        total += math.exp(0.3 * centrality) * cross_entropy
        # 2: soft targets among the neighbours, hubs less.
        neighbors = sorted(negatives, key=lambda c: -row[c])[:count]
        far = [c for c in negatives if c not in neighbors]
        hubness = {c: sum(inner(other[c], item) for item in BANK[direction]) / 2 for c in range(size)}
        near, hubs = scaled(dict(enumerate(row)), far, neighbors), scaled(hubness, far, neighbors)
        weights = softmax([3 * (near[c] - hubs[c]) for c in neighbors]) if neighbors else []
        targets = {**dict(zip(neighbors, weights, strict=True)), **dict.fromkeys(positives, 1.0)}
        local = log_sum([row[c] for c in targets])
        total -= sum(w * (row[c] - local) for c, w in targets.items()) / sum(targets.values())
        # 3: every item is retrieved equally often.
        uniform = log_sum([3 * row[c] for c in candidates])
        for c in candidates:
            share = plan[query][c] if direction == 0 else plan[c][query]
            wanted = 0.7 * share + 0.3 * (c in positives) / len(positives)
            total -= wanted * (3 * row[c] - uniform)
    return total / (2 * size)


def with_bank(objective: NeighborRetr) -> NeighborRetr:
    objective = objective.double()
    objective.queue.push(*torch.tensor(BANK, dtype=torch.float64))
    return objective


@pytest.mark.parametrize("count", [20, 2])
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20, deadline=None)
@given(batch=batches(), seed=st.integers(0, 100))
def test_value_is_the_definition(rule: str, count: int, batch, seed: int):
    scores, images, _ = batch
    size = len(scores)
    # Ties decide which wrong answers are neighbours: here they are told apart.
    scores = [[value + 1e-4 * (3 * i + 7 * j + i * j) for j, value in enumerate(row)] for i, row in enumerate(scores)]
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, size, 3, generator=generator, dtype=torch.float64)
    pairs = Pairs(torch.tensor(images), torch.arange(size), images=vectors[0], captions=vectors[1])
    objective = with_bank(NeighborRetr(neighbors=count, same_image=rule))
    found = objective(torch.tensor(scores, dtype=torch.float64), pairs)
    expected = plain_neighbor_retr((scores, images, None), tuple(vectors.tolist()), rule, count)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_plan_retrieves_every_item_equally_often():
    scores, pairs = random_pairs(8, seed=1)
    plan = sinkhorn(scores / 0.1, NeighborRetr().roles(pairs))
    torch.testing.assert_close(plan.sum(dim=0), torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(dim=1), torch.ones(8, dtype=torch.float64), atol=1e-3, rtol=0)


def test_a_hub_is_a_smaller_target_than_another_neighbor():
    objective = NeighborRetr(neighbors=2).double()
    ids, vectors = torch.arange(5), torch.eye(5, dtype=torch.float64)
    scores = torch.full((5, 5), -0.5, dtype=torch.float64).fill_diagonal_(0.9)
    scores += 0.01 * torch.arange(5)
    scores[0, 1] = scores[0, 2] = 0.5
    gradients = []
    for hub in (False, True):
        leaf, objective = scores.clone().requires_grad_(), NeighborRetr(neighbors=2).double()
        bank = 0.1 * torch.arange(5, dtype=torch.float64)
        bank[1] = 5.0 if hub else 0.1
        objective.queue.push(bank[None], bank[None])  # caption 1 scores high with the bank's images
        objective(leaf, Pairs(ids, ids, images=vectors, captions=vectors)).backward()
        gradients.append(leaf.grad[0, 1].item())
    assert gradients[1] > gradients[0]


def test_bank_is_the_last_pairs_newest_first_and_has_no_graph():
    scores, pairs = random_pairs(4, seed=2)
    pairs.images.requires_grad_()
    objective = NeighborRetr(bank_size=6).double()
    objective(scores, pairs)
    older = pairs.captions
    scores, pairs = random_pairs(4, seed=3)
    objective(scores, pairs)
    assert len(objective.queue) == 6
    assert torch.equal(objective.queue.captions, torch.cat((pairs.captions, older[:2])))
    assert not objective.queue.images.requires_grad


def test_gradients_reach_the_embeddings_through_the_weights():
    scores, pairs = random_pairs(4, seed=2)
    objective = NeighborRetr().double()

    def loss(images: torch.Tensor) -> torch.Tensor:
        given = Pairs(pairs.image_ids, pairs.caption_ids, images=images, captions=pairs.captions)
        return deepcopy(objective)(scores, given)

    assert torch.autograd.gradcheck(loss, pairs.images.requires_grad_())


def test_without_its_terms_it_is_infonce():
    scores, pairs = random_pairs(5, seed=4)
    pairs.image_ids = torch.arange(5)
    objective = NeighborRetr(centrality_scale=0.0).double()
    objective._adjusted = objective._uniform = lambda scores, *_: torch.zeros_like(scores[0])
    torch.testing.assert_close(objective(scores, pairs), InfoNCE().double()(scores, pairs))


@pytest.mark.parametrize("constant", [{"neighbors": 0}, {"bank_size": 0}, {"plan_temperature": 0.0}])
def test_constants_out_of_range_are_refused(constant: dict):
    with pytest.raises(InputError, match=f"^{next(iter(constant))} .*expected"):
        NeighborRetr(**constant)
