"""SGR and SAF compute what the published networks compute (tests/golden/sgraf: numbers that those produced).

The published runs were in float64 with dropout off; gradients were stored in float32.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from SGRAF_LSEH.model import SGRAF
from tests.parity.golden import GOLDEN, GoldenFile
from vse.checkpoints import load_weights
from vse.data.batches import PairBatch
from vse.losses import LSEH, MaxHinge, Objective, Pairs, SumHinge
from vse.published import checkpoints as published
from vse.training.selected_pairs import training_scores
from vse.training.step import TrainingStep

NAMES = ("sgr_a", "saf_a", "sgr_options", "saf_lseh")
OURS = {
    "img_enc.": "image_encoder.",
    "txt_enc.": "caption_encoder.",
    "sim_enc.": "similarity_encoder.",
}


class Golden(GoldenFile):
    """What the original code was run with, its network and batch."""

    def __init__(self, name: str) -> None:
        super().__init__("sgraf", name)
        self.config = SimpleNamespace(**self.settings)

    def named(self, prefix: str) -> dict[str, Tensor]:
        """Arrays under `prefix` by the names of our parameters."""
        tensors = self.renamed({prefix + theirs: ours for theirs, ours in OURS.items()})
        return {name.replace(".cap_rnn.", ".rnn."): tensor for name, tensor in tensors.items()}

    def network(self, dtype: torch.dtype = torch.float64, memory_budget: int = 2**28) -> SGRAF:
        c = self.config
        network = SGRAF(
            c.module_name,
            c.vocab_size,
            c.num_region,
            c.img_dim,
            c.word_dim,
            c.embed_size,
            c.sim_dim,
            c.num_layers,
            c.bi_gru,
            c.no_imgnorm,
            c.no_txtnorm,
            c.sgr_step,
            memory_budget,
        )
        network.load_state_dict(self.named("state/"))
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return network.to(dtype)

    def batch(self, dtype: torch.dtype = torch.float64) -> PairBatch:
        return PairBatch(
            images=self["in/regions"].to(dtype),
            captions=self["in/captions"],
            lengths=self["in/lengths"],
            image_ids=self["in/img_ids"],
            caption_ids=self["in/ids"],
            descriptions=self["in/svd"].to(dtype),
        )

    def objective(self, name: str | None = None) -> Objective:
        return {
            "max": MaxHinge(self.config.margin),
            "sum": SumHinge(self.config.margin),
            "lseh_max": LSEH(self.config.margin, max_violation=True),
            "lseh_sum": LSEH(self.config.margin),
        }[name or self.config.loss]


def scored(golden: Golden, network: SGRAF, mode: str, objective: Objective | None = None) -> Tensor:
    batch = golden.batch(network.similarity_encoder.sim_eval_w.weight.dtype)
    network.train(mode == "train")
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    if objective is None:
        return network.similarity(images, captions)
    pairs = Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)
    return training_scores(network, images, captions, objective, pairs)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", NAMES)
def test_embeddings_and_scores_are_the_published_ones(name: str, mode: str) -> None:
    golden = Golden(name)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        network = golden.network(dtype).train(mode == "train")
        batch = golden.batch(dtype)
        images, captions = network.encode_images(batch), network.encode_captions(batch)
        assert (images.vectors - golden[f"{mode}64/img_glo"]).abs().max() < tolerance
        assert (captions.vectors - golden[f"{mode}64/cap_glo"]).abs().max() < tolerance
        scores = network.similarity(images, captions)
        assert (scores - golden[f"{mode}64/sims"]).abs().max() < tolerance
        if "eval64/img_emb" in golden.arrays:
            assert (images.features - golden["eval64/img_emb"]).abs().max() < tolerance
            assert (captions.features - golden["eval64/cap_emb"]).abs().max() < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_all_objectives_have_the_published_values(name: str) -> None:
    golden = Golden(name)
    batch = golden.batch()
    pairs = Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)
    for mode in ("eval", "train"):
        scores = scored(golden, golden.network(), mode)
        for objective in ("max", "sum", "lseh_max", "lseh_sum"):
            loss = golden.objective(objective)(scores, pairs)
            assert loss.item() == pytest.approx(float(golden.arrays[f"{mode}64/loss_{objective}"]), rel=1e-10)


@pytest.mark.parametrize("name", ["sgr_a", "saf_a", "sgr_options"])
def test_gradients_are_the_published_ones(name: str) -> None:
    golden = Golden(name)
    batch = golden.batch()
    pairs = Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)
    objective = golden.objective()
    # The published gradients, through the pairs that the objective selects (SGR) and through all (SAF, sum of hinges).
    for memory_budget in (2**28, 2**14):
        network = golden.network(memory_budget=memory_budget)
        objective(scored(golden, network, "train", objective), pairs).backward()
        parameters = dict(network.named_parameters())
        gradients = golden.named("train64/grad/")
        assert len(gradients) > 20
        for key, wanted in gradients.items():
            difference = (parameters[key].grad - wanted).abs().max()
            assert difference <= 1e-7 * wanted.abs().max() + 1e-12, key


@pytest.mark.parametrize("name", NAMES)
def test_running_moments_are_the_published_ones(name: str) -> None:
    golden = Golden(name)
    network = golden.network(memory_budget=2**14)
    with torch.no_grad():
        scored(golden, network, "train")
    wanted = golden.named("step64/")
    assert any("SAF" in key for key in wanted) == (golden.config.module_name == "SAF")
    for key, buffer in wanted.items():
        assert (network.state_dict()[key] - buffer).abs().max() < 1e-12, key


@pytest.mark.parametrize("name", NAMES)
def test_five_training_steps_follow_the_published_trajectory(name: str) -> None:
    golden = Golden(name)
    network = golden.network().train()
    optimizer = torch.optim.Adam(network.parameter_groups(golden.config.learning_rate))
    step = TrainingStep(network, golden.objective())
    for wanted in golden.arrays["traj64/loss"]:
        optimizer.zero_grad()
        result = step(golden.batch())
        assert result.loss.item() == pytest.approx(float(wanted), rel=1e-8)
        result.loss.backward()
        if golden.config.grad_clip > 0:
            nn.utils.clip_grad_norm_(network.parameters(), golden.config.grad_clip)
        optimizer.step()
    scores = scored(golden, network, "eval")
    assert (scores - golden["traj64/sims_eval"]).abs().max() < 1e-8


def test_the_similarity_vectors_are_the_published_ones() -> None:
    for name in NAMES:
        golden = Golden(name)
        network = golden.network().eval()
        batch = golden.batch()
        images, captions = network.encode_images(batch), network.encode_captions(batch)
        last = len(captions.lengths) - 1
        nodes: list[Tensor] = []
        head = network.similarity_encoder._modules
        first = head["SAF_module"] if "SAF_module" in head else head["SGR_module"][0]
        argument = 0 if "SAF_module" in head else 2
        first.register_forward_pre_hook(lambda _, inputs, at=argument, seen=nodes: seen.append(inputs[at]))
        shortest = captions.rows(slice(last, None))
        network.similarity(images, shortest)
        wanted = golden[f"eval64/nodes_cap{last}"]
        assert (nodes[0][:, 0] - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_a_published_checkpoint_loads_and_scores_as_published(module: str) -> None:
    path = GOLDEN / "sgraf" / f"ckpt_{module}.pth.tar"
    checkpoint = published.load(path)
    options = SimpleNamespace(**checkpoint.options)
    assert options.module_name == module
    network = SGRAF(
        module,
        options.vocab_size,
        36,
        options.img_dim,
        options.word_dim,
        options.embed_size,
        options.sim_dim,
        options.num_layers,
        options.bi_gru,
        options.no_imgnorm,
        options.no_txtnorm,
        options.sgr_step,
    ).eval()
    load_weights(network, checkpoint)
    with np.load(GOLDEN / "sgraf" / f"ckpt_{module}_io.npz", allow_pickle=False) as file:
        lengths = torch.from_numpy(file["in/lengths"])
        ids = torch.arange(len(lengths))
        batch = PairBatch(
            images=torch.from_numpy(file["in/regions"]).float(),
            captions=torch.from_numpy(file["in/captions"]),
            lengths=lengths,
            image_ids=ids,
            caption_ids=ids,
        )
        wanted = torch.from_numpy(file["expect/sims"])
    with torch.no_grad():
        scores = network.similarity(network.encode_images(batch), network.encode_captions(batch))
    assert (scores - wanted).abs().max() < 2e-6
