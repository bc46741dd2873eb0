"""GSMN computes what the published network computes (tests/golden/gsmn: numbers that it produced)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from GSMN_LSEH.graphs import GaussianKernels, adjacency, polar, region_weights
from GSMN_LSEH.loss import DEFAULTS
from GSMN_LSEH.matching import match, nodes
from GSMN_LSEH.model import GSMN
from GSMN_LSEH.network import NetworkOptions, build
from tests.parity.golden import GOLDEN, GoldenFile
from vse.checkpoints import load_weights
from vse.data.batches import CaptionBatch, ImageBatch, PairBatch
from vse.data.boxes import Boxes
from vse.evaluation.ranking import evaluate
from vse.evaluation.scoring import ensemble
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.options import with_values
from vse.published import checkpoints as published
from vse.training.step import TrainingStep

PARTS = ("img_enc", "txt_enc", "i2t_match_G", "t2i_match_G")
STEPS = ("dense_hinge_sum_unigru", "lseh_dense_max", "sparse_edgecases")
NO_GRADIENT = ("region_matching.out_2.bias", "word_matching.out_2.bias")
"""Their true gradient is 0; the stored one, and the Adam step on it, is rounding noise."""


def padded_edges(rows: np.ndarray, captions: int) -> Tensor:
    """[E, 3] rows (caption, head, dependent), each caption's root first -> [captions, E, 2], padded with -1."""
    own = [rows[rows[:, 0] == caption, 1:][1:] for caption in range(captions)]
    edges = np.full((captions, max(map(len, own)), 2), -1)
    for caption, pairs in enumerate(own):
        edges[caption, : len(pairs)] = pairs
    return torch.from_numpy(edges)


class Golden(GoldenFile):
    """What the original code was run with, the network and the batch that a file describes."""

    def __init__(self, name: str) -> None:
        super().__init__("gsmn", name)
        self.config = SimpleNamespace(**self.settings)

    def parts(self, kind: str) -> list[dict[str, Tensor]]:
        return [self.under(f"{kind}/{part}/") for part in PARTS]

    def network(self, options: dict, kind: str = "param", **changes: object) -> GSMN:
        given = with_values(NetworkOptions(), {**options, **changes})
        network = build(given, (0, options["img_dim"]), range(options["vocab_size"]))
        network.load_state_dict(network.import_published(self.parts(kind), {}))
        return network

    def batch(self, dtype: torch.dtype = torch.float32) -> PairBatch:
        return PairBatch(
            images=self["in/images"].to(dtype),
            captions=self["in/captions"],
            lengths=self["in/lengths"],
            image_ids=self["in/img_ids"],
            caption_ids=self["in/ids"],
            descriptions=self["in/svd"].to(dtype),
            extras={
                "boxes": self["in/boxes"].to(dtype),
                "edges": padded_edges(self.arrays["in/edges"], len(self["in/lengths"])),
            },
        )


def difference(ours: Tensor, golden: Tensor) -> float:
    return float((ours.detach().double() - golden.double()).abs().max())


@pytest.fixture(params=STEPS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def training_step(golden: Golden, network: GSMN) -> TrainingStep:
    config = golden.config
    loss = {"max": "lmh", "sum": "sum_hinge", "lseh": "lseh"}[config.loss]
    options = ObjectiveOptions(loss, margin=config.opt.get("margin"))
    if config.loss == "lseh":
        options.max_violation, options.semantic_weight = config.opt["max_violation"], config.lseh_factor
        options.same_image_key = "legacy_div5"
    return TrainingStep(network, build_objective(resolve(options, DEFAULTS)))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_scores(golden: Golden, dtype: torch.dtype, bound: float) -> None:
    network, batch = golden.network(golden.config.opt).to(dtype), golden.batch(dtype)
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    assert difference(network.similarity(images, captions), golden["out64/scores"]) < bound
    count = len(batch.image_ids)
    rows, columns = torch.arange(count).repeat_interleave(count), torch.arange(count).repeat(count)
    pairs = network.similarity_of_pairs(images, captions, rows, columns)
    assert difference(pairs.view(count, count), golden["out64/scores"]) < bound


def test_loss_gradients_and_one_step(golden: Golden) -> None:
    network, options = golden.network(golden.config.opt), golden.config.opt
    result = training_step(golden, network)(golden.batch())
    assert difference(result.loss, golden["out64/loss"]) < 1e-5
    result.loss.backward()
    stored = golden.parts("grad")  # in two files without the caption encoder's
    whole = [part or instead for part, instead in zip(stored, golden.parts("param"), strict=True)]
    own = dict(network.named_parameters())
    for name, gradient in network.import_published(whole, {}).items():
        if name in NO_GRADIENT:
            assert own[name].grad.abs().max() < 1e-4
        elif stored[1] or not name.startswith("caption_encoder"):
            assert difference(own[name].grad, gradient) <= 1e-4 * float(gradient.abs().max()), name
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), options.get("grad_clip", 2.0) or float("inf"))
    assert float(norm) == pytest.approx(float(golden["out/grad_norm"]), rel=1e-5)


def test_one_adam_step() -> None:
    golden = Golden("dense_hinge_sum_unigru")
    network, rate = golden.network(golden.config.opt), golden.config.opt["learning_rate"]
    optimizer = torch.optim.Adam(network.parameter_groups(rate))
    training_step(golden, network)(golden.batch()).loss.backward()
    optimizer.step()
    expected = network.import_published(golden.parts("adam1"), {})
    own = network.state_dict()
    compared = [name for name in expected if name not in NO_GRADIENT]
    off = torch.cat([((own[name] - expected[name]).abs() > 0.1 * rate).flatten() for name in compared])
    assert off.float().mean() < 1e-4


def test_nodes_and_attention() -> None:
    golden = Golden("lseh_dense_max")
    network, batch = golden.network(golden.config.opt), golden.batch()
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    first = int(batch.lengths[0])
    regions, words = match(
        nodes(images.features[:1], 16),
        nodes(captions.features[:1, :first], 16),
        torch.ones(1, first, dtype=torch.bool),
        network.temperature,
        pairs=False,
    )
    assert difference(regions[0, 0], golden["mid/i2t_blockcos_img0_cap0"]) < 5e-6
    assert difference(words[0, 0], golden["mid/t2i_blockcos_img0_cap0"]) < 5e-6
    assert difference(images.graph, golden["mid/gauss_weight_sum"]) < 2e-5


def test_sparse_differs_from_dense_at_self_loops_only() -> None:
    golden = Golden("sparse_edgecases")
    dense = golden.network(golden.config.opt, is_sparse=False)
    batch = golden.batch()
    scores = dense.similarity(dense.encode_images(batch), dense.encode_captions(batch))
    off = (scores - golden["out64/scores"]).abs().amax(0)
    # Captions 0, 2, 4 and 5 hold a self loop; that of caption 3 is its root entry, which does not count.
    assert (off[[0, 2, 4, 5]] > 1e-3).all()
    assert (off[[1, 3]] < 2e-6).all()


def test_graphs_alone() -> None:
    golden = Golden("graphs")
    for number in range(10):
        pairs, words = golden.arrays[f"adj{number}/edges"], int(golden.arrays[f"adj{number}/n_word"])
        edges = torch.from_numpy(pairs[1:].reshape(1, -1, 2))
        matrix = adjacency(edges, torch.tensor([words]), words)[0]
        assert torch.equal(matrix, golden[f"adj{number}/adjacency"].float()), number
    assert difference(polar(golden["geom/boxes"]), golden["geom/polar"]) < 1e-6
    kernels = GaussianKernels()
    with torch.no_grad():
        for name, parameter in kernels.named_parameters():
            parameter.copy_(golden[f"geom/{name}"].flatten())
        weights = torch.softmax(kernels.exponents(polar(golden["geom/boxes"])[2]), dim=-1)
        assert difference(weights, golden["geom/weights_img2"]) < 2e-6
        assert difference(region_weights(kernels, golden["geom/boxes"]), golden["geom/weight_sum"]) < 2e-5


def evaluated(legacy: bool) -> tuple[Golden, Tensor]:
    golden = Golden("eval")
    network = golden.network(golden.config.opt_dense, "param_dense")
    boxes = Boxes(golden.arrays["in/boxes_pixels"], golden.arrays["in/image_wh"].astype(np.float32))
    rows = np.arange(12) // 5 if legacy else np.arange(12)
    images = ImageBatch(images=golden["in/images"], image_ids=torch.arange(12))
    images.extras["boxes"] = boxes.divided(rows)
    captions = CaptionBatch(
        captions=golden["in/captions"],
        lengths=golden["in/lengths"],
        image_ids=torch.arange(60),
        caption_ids=torch.arange(60),
    )
    with torch.no_grad():
        return golden, network.similarity(network.encode_images(images), network.encode_captions(captions))


def test_evaluation_scores_and_ranks() -> None:
    golden, scores = evaluated(legacy=False)
    assert difference(scores, golden["out_dense/sims"]) < 2e-6
    metrics = evaluate(scores, np.repeat(np.arange(12), 5))
    assert metrics["rsum"] == pytest.approx(float(golden["out_dense/rsum"]))
    for names, key in (
        (("r1", "r5", "r10", "medr", "meanr"), "i2t"),
        (("r1i", "r5i", "r10i", "medri", "meanri"), "t2i"),
    ):
        assert [metrics[name] for name in names] == pytest.approx(golden.arrays[f"out_dense/{key}_metrics"].tolist())
    assert torch.equal(ensemble([scores, scores]), scores)


def test_the_published_evaluation_takes_other_images_boxes() -> None:
    golden, scores = evaluated(legacy=True)
    assert difference(scores, golden["out_dense/sims_legacy_boxrow"]) < 2e-6


def test_a_published_checkpoint_is_imported() -> None:
    checkpoint = published.load(GOLDEN / "gsmn" / "dense_ckpt.pth.tar")
    golden = Golden("ckpt_expected")
    assert checkpoint.published
    assert any(name.endswith("weight_g") for name in checkpoint.parts[2])
    options = with_values(NetworkOptions(), checkpoint.options)
    network = build(options, (36, 40), range(checkpoint.options["vocab_size"]))
    load_weights(network, checkpoint)
    batch = PairBatch(
        images=golden["dense/images"],
        captions=golden["dense/captions"],
        lengths=golden["dense/lengths"],
        image_ids=torch.arange(6),
        caption_ids=torch.arange(6),
        extras={"boxes": golden["dense/boxes"]},
    )
    scores = network.similarity(network.encode_images(batch), network.encode_captions(batch))
    assert difference(scores, golden["dense/scores"]) < 2e-6
