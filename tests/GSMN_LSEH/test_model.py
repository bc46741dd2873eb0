"""GSMN's scores do not depend on blocks, padding or the way gradients are taken; what its two kinds of graphs see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from GSMN_LSEH.graphs import GaussianKernels, polar, region_graph, region_weights
from GSMN_LSEH.matching import circular_products, match, nodes
from GSMN_LSEH.model import GSMN, TextualGraphs, VisualGraphs
from vse.data.batches import CaptionBatch, ImageBatch, PairBatch
from vse.errors import InputError
from vse.evaluation.scoring import score_matrix
from vse.losses import LSEH, Objective, Pairs, SumHinge
from vse.training.selected_pairs import selected_pair_scores

B, R = 7, 5


def network(graph: str = "reference", sparse: bool = False, **changes: object) -> GSMN:
    torch.manual_seed(3)
    made = GSMN(30, 11, 6, 32, bi_gru=True, is_sparse=sparse, graph=graph, **changes).double()  # type: ignore[arg-type]
    with torch.no_grad():  # away from the start, where all scores are alike
        made.caption_encoder.embed.weight.mul_(20)
        for matching in (made.region_matching, made.word_matching):
            matching.out_2.parametrizations.weight.original0.mul_(5)
    return made


def batch(count: int = B, words: int = 9) -> PairBatch:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(2, words, (count,), generator=generator).sort(descending=True).values
    ids = torch.randint(4, 30, (count, int(lengths[0])), generator=generator)
    ids *= torch.arange(ids.shape[1]) < lengths[:, None]
    corner = torch.rand(count, R, 2, generator=generator, dtype=torch.float64) * 0.7
    return PairBatch(
        images=torch.randn(count, R, 11, generator=generator, dtype=torch.float64),
        captions=ids,
        lengths=lengths,
        image_ids=torch.arange(count) // 2,
        caption_ids=torch.arange(count),
        descriptions=torch.randn(count, 6, generator=generator, dtype=torch.float64),
        extras={
            "boxes": torch.cat([corner, corner + 0.2], dim=-1),
            "edges": torch.tensor([[1, 2], [1, 3], [0, 0], [-1, -1]]).expand(count, -1, 2),
        },
    )


def encoded(model: GSMN, given: PairBatch) -> tuple[VisualGraphs, TextualGraphs]:
    return model.encode_images(given), model.encode_captions(given)


BOTH = pytest.mark.parametrize(
    ("graph", "sparse"), [("reference", False), ("reference", True), ("propagate", False), ("propagate", True)]
)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_circular_products_make_a_quadratic_form(count: int) -> None:
    features = torch.randn(3, count, 8, dtype=torch.float64)
    weights = torch.rand(3, count, 4, dtype=torch.float64)
    ours = nodes(features, 2).gram @ circular_products(weights)
    parts = features.unflatten(-1, (2, -1)).transpose(1, 2)
    torch.testing.assert_close(ours, (weights.mT[:, None] @ parts).square().sum(-1).mT.mT)


def test_matching_vectors_are_cosines_of_what_nodes_attend_to() -> None:
    """One pair, in the formulas' own words: contexts are formed and compared block by block."""
    regions, words = (torch.randn(1, count, 32, dtype=torch.float64) for count in (R, 4))
    ours = match(nodes(regions, 16), nodes(words, 16), torch.ones(1, 4, dtype=torch.bool), 9.0, pairs=False)
    products = torch.nn.functional.leaky_relu(words[0] @ regions[0].T, 0.1)  # [L, R]
    to_words = torch.softmax(9 * products / (products.norm(dim=1, keepdim=True) + 1e-8), dim=0)
    to_regions = torch.softmax(9 * products / (products.norm(dim=0, keepdim=True) + 1e-8), dim=1)
    for vectors, query, context in (
        (ours[0], regions[0], to_words.T @ words[0]),
        (ours[1], words[0], to_regions @ regions[0]),
    ):
        expected = torch.cosine_similarity(query.unflatten(-1, (16, 2)), context.unflatten(-1, (16, 2)), dim=-1)
        torch.testing.assert_close(vectors[0, 0], expected)


@pytest.mark.parametrize("memory_budget", [1, 2**28])
@BOTH
def test_padding_of_regions_does_not_change_scores(graph: str, sparse: bool, memory_budget: int) -> None:
    given, model = batch(), network(graph, sparse, memory_budget=memory_budget)
    lengths = torch.tensor([5, 1, 3, 4, 2, 5, 3])
    images, captions = encoded(model, replace(given, region_lengths=lengths))
    alone = []
    for image, length in enumerate(lengths.tolist()):
        boxes = given.extras["boxes"][image : image + 1, :length]
        own = ImageBatch(
            images=given.images[image : image + 1, :length], image_ids=torch.tensor([image]), extras={"boxes": boxes}
        )
        alone.append(model.similarity(model.encode_images(own), captions))
    expected = torch.cat(alone)
    torch.testing.assert_close(model.similarity(images, captions), expected)
    image, caption = torch.tensor([6, 0, 1, 3]), torch.tensor([2, 2, 5, 0])
    pairs = model.similarity_of_pairs(images, captions, image, caption)
    torch.testing.assert_close(pairs, expected[image, caption])


@BOTH
def test_blocks_and_pairs_do_not_change_scores(graph: str, sparse: bool) -> None:
    given = batch()
    whole, small = network(graph, sparse), network(graph, sparse, memory_budget=1)
    small.load_state_dict(whole.state_dict())
    scores = whole.similarity(*encoded(whole, given))
    torch.testing.assert_close(small.similarity(*encoded(small, given)), scores)
    rows, columns = torch.tensor([4, 0, 0, 6, 2]), torch.tensor([0, 6, 0, 3, 5])
    pairs = small.similarity_of_pairs(*encoded(small, given), rows, columns)
    torch.testing.assert_close(pairs, scores[rows, columns])


@BOTH
def test_a_caption_scores_the_same_alone_and_beside_longer_ones(graph: str, sparse: bool) -> None:
    model, given = network(graph, sparse), batch()
    images, captions = encoded(model, given)
    scores = model.similarity(images, captions)
    for caption in (0, B - 1):
        length = int(given.lengths[caption])
        alone = CaptionBatch(
            captions=given.captions[caption : caption + 1, :length],
            lengths=given.lengths[caption : caption + 1],
            image_ids=given.image_ids[:1],
            caption_ids=given.caption_ids[:1],
            extras={"edges": given.extras["edges"][:1]},
        )
        own = model.similarity(images, model.encode_captions(alone))
        torch.testing.assert_close(own[:, 0], scores[:, caption])


def test_one_image_and_a_caption_of_one_word_are_scored() -> None:
    model, given = network("propagate"), batch()
    given = PairBatch(
        images=given.images[:1],
        captions=given.captions[:1, :1],
        lengths=torch.tensor([1]),
        image_ids=given.image_ids[:1],
        caption_ids=given.caption_ids[:1],
        extras={"boxes": given.extras["boxes"][:1]},
    )
    assert torch.isfinite(model.similarity(*encoded(model, given))).all()


@pytest.mark.parametrize("graph", ["reference", "propagate"])
@pytest.mark.parametrize("objective", [LSEH(max_violation=True, margin=0.07), SumHinge()])
def test_gradients_are_those_of_one_dense_pass(graph: str, objective: Objective) -> None:
    """Through selected pairs and through checkpointed blocks, against one block."""

    def gradients(model: GSMN, selected: bool) -> dict[str, Tensor]:
        given = batch()
        images, captions = encoded(model, given)
        pairs = Pairs(given.image_ids, given.caption_ids, given.descriptions)
        if selected:
            scores = selected_pair_scores(model, images, captions, objective, pairs)
        else:
            scores = model.similarity(images, captions)
        objective(scores, pairs).backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    expected = gradients(network(graph), selected=False)
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in expected.values())
    for ours in (
        gradients(network(graph, memory_budget=1), selected=False),
        *([gradients(network(graph), selected=True)] if objective.sparse_gradient else []),
    ):
        for name, gradient in expected.items():
            torch.testing.assert_close(ours[name], gradient, msg=name, atol=1e-9, rtol=1e-7)


def test_split_scores_are_those_of_one_batch() -> None:
    model, given = network("propagate", sparse=True), batch()
    with torch.no_grad():
        images, captions = encoded(model, given)
        order = torch.randperm(B, generator=torch.Generator().manual_seed(1))
        shuffled = captions.rows(order)
        expected = model.similarity(images, captions)[:, order]
        torch.testing.assert_close(
            score_matrix(model, images, shuffled, memory_budget=20_000), expected.float(), atol=1e-6, rtol=1e-5
        )


def test_only_propagate_depends_on_the_parse() -> None:
    given = batch()
    other = batch()
    other.extras["edges"] = torch.tensor([[0, 1], [1, 2]]).expand(B, -1, 2)  # no self loop
    third = batch()
    third.extras["edges"] = torch.tensor([[0, 2], [0, 3]]).expand(B, -1, 2)
    for graph, differ in (("reference", False), ("propagate", True)):
        dense, sparse = network(graph), network(graph, sparse=True)
        scores = [
            model.similarity(*encoded(model, edges))
            for model, edges in ((dense, given), (sparse, other), (sparse, third))
        ]
        for a, b in ((0, 1), (1, 2)):
            assert torch.allclose(scores[a], scores[b], atol=1e-12) != differ


def test_region_graphs_weigh_neighbours() -> None:
    kernels, boxes = GaussianKernels().double(), batch().extras["boxes"]
    weights = torch.softmax(kernels.exponents(polar(boxes)), dim=-1)
    torch.testing.assert_close(
        region_weights(kernels, boxes).sum(-1), torch.full((B, R), float(R), dtype=torch.float64)
    )
    torch.testing.assert_close(region_weights(kernels, boxes), weights.sum(2))
    graph = region_graph(kernels, boxes)
    torch.testing.assert_close(graph.sum(-1), torch.ones(B, 8, R, dtype=torch.float64))
    density = kernels.exponents(polar(boxes)).exp()[2, 1, :, 3]  # image 2, region 1, kernel 3
    torch.testing.assert_close(graph[2, 3, 1], density / density.sum())


def test_only_propagate_spreads_a_change_to_other_nodes() -> None:
    """A change of one node's matching vector reaches the other nodes' convolved vectors in propagate only."""
    given = batch()
    for graph, reaches in (("reference", False), ("propagate", True)):
        model = network(graph)
        seen = []
        model.region_matching.out_1.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        weights = model.encode_images(given).graph[:1]
        vectors = torch.randn(1, 1, R, 16, dtype=torch.float64)
        changed = vectors.clone()
        changed[0, 0, 0] += 1
        for value in (vectors, changed):
            model.region_matching.regions(value, weights)
        moved = (seen[0] - seen[1]).abs().amax(-1)[0, 0]
        assert moved[0] > 1e-6
        assert bool((moved[1:] > 1e-6).all()) == reaches


def test_kernels_that_all_underflow_leave_finite_scores() -> None:
    """The original code divides 0 by 0 here."""
    model, given = network(), batch()
    with torch.no_grad():
        model.kernels.precision_rho.fill_(1e-6)
    given.extras["boxes"] *= 50
    scores = model.similarity(*encoded(model, given))
    scores.sum().backward()
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.kernels.parameters())


@pytest.mark.parametrize("options", [{"embed_size": 40}, {"hid_dim": 20}, {"graph": "published"}])
def test_impossible_networks_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        GSMN(30, 11, **options)  # type: ignore[arg-type]
