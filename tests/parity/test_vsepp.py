"""VSE++ computes what the published network computes (tests/golden/vsepp: numbers that it produced)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.parity.golden import GoldenFile, relative
from vse.data.batches import PairBatch
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.losses.objective import Pairs
from vse.nn.backbones import CnnTower
from vse.training.step import TrainingStep
from VSEpp_LSEH.model import VSEpp


class Golden(GoldenFile):
    """The published options, the network, the objective and batches that a file describes."""

    def __init__(self, name: str) -> None:
        super().__init__("vsepp", name)
        self.options = SimpleNamespace(**self.settings["opt"])

    def parameters(self, prefix: str = "") -> dict[str, torch.Tensor]:
        return self.renamed({f"{prefix}img_enc.": "image_encoder.", f"{prefix}txt_enc.": "caption_encoder."})

    def batch(self, prefix: str = "in.", dtype: torch.dtype = torch.float64) -> PairBatch:
        tensor = self.under(prefix)
        return PairBatch(
            images=tensor["images"].to(dtype),
            captions=tensor["captions"],
            lengths=tensor["lengths"],
            image_ids=tensor["img_ids"],
            caption_ids=tensor["caption_ids"],
            descriptions=tensor["svd"].to(dtype) if "svd" in tensor else None,
        )

    def network(self, parameters: dict[str, torch.Tensor] | None = None, dtype: torch.dtype = torch.float64) -> VSEpp:
        o = self.options
        shape = (o.img_dim,)
        network = VSEpp(shape, o.vocab_size, o.word_dim, o.embed_size, o.num_layers, o.measure, o.use_abs, o.no_imgnorm)
        if parameters is not None:
            network.load_state_dict(parameters)
        return network.to(dtype)

    def objective(self) -> torch.nn.Module:
        o = self.options
        lseh = self.settings["kind"].startswith("vsepp_lseh")
        name = "lseh" if lseh else ("max_hinge" if o.max_violation else "sum_hinge")
        options = ObjectiveOptions(loss=name, margin=o.margin)
        if lseh:
            options.max_violation, options.same_image_key = o.max_violation, "legacy_div5"
        return build_objective(resolve(options))


NETWORKS = (
    "cosine_max",
    "cosine_sum",
    "lseh_max",
    "lseh_sum",
    "lseh_imdiv1",
    "order0",
    "orderpp",
    "vse0_noimgnorm",
    "gru2_abs",
)


@pytest.mark.parametrize("name", NETWORKS)
def test_embeddings_loss_and_gradients_are_the_original_ones(name: str) -> None:
    golden = Golden(name)
    network = golden.network(golden.parameters())
    objective = golden.objective()
    batch = golden.batch()
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    scores = network.similarity(images, captions)
    assert relative(images.vectors, golden.arrays["f64.img_emb"]) < 1e-6
    assert relative(captions.vectors, golden.arrays["f64.cap_emb"]) < 1e-6
    assert relative(scores, golden.arrays["f64.scores"]) < 1e-6

    pairs = Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)
    image_to_text, text_to_image = objective.directions(scores, pairs)
    loss = image_to_text + text_to_image
    assert loss.item() == pytest.approx(float(golden.arrays["f64.loss"]), rel=1e-6)
    if "out.loss_s" in golden.arrays:
        assert image_to_text.item() == pytest.approx(float(golden.arrays["out.loss_s"]), rel=2e-6)
        assert text_to_image.item() == pytest.approx(float(golden.arrays["out.loss_im"]), rel=2e-6)
    loss.backward()
    gradients = golden.parameters("f64.grad.")
    assert gradients
    for key, parameter in network.named_parameters():
        assert relative(parameter.grad, gradients[key].numpy()) < 2e-6, key


def test_the_training_step_gives_the_published_loss_in_float32() -> None:
    golden = Golden("lseh_max")
    network = golden.network(golden.parameters(), torch.float32)
    result = TrainingStep(network, golden.objective())(golden.batch(dtype=torch.float32))
    assert result.loss.item() == pytest.approx(float(golden.arrays["f64.loss"]), rel=2e-6)


@pytest.mark.parametrize("name", ["init", "lseh_init"])
def test_a_seed_gives_the_published_initial_weights(name: str) -> None:
    golden = Golden(name)
    torch.manual_seed(golden.settings["seed"])
    network = golden.network(dtype=torch.float32)
    wanted = golden.parameters()
    for key, tensor in network.state_dict().items():
        if torch.__version__.startswith("2.14"):
            assert torch.equal(tensor, wanted[key]), key
        else:  # another version may draw other numbers from the same seed
            assert tensor.abs().max() == pytest.approx(wanted[key].abs().max().item(), rel=0.1)


@pytest.mark.parametrize("name", ["train", "lseh_train"])
def test_optimizer_steps_end_at_the_published_weights(name: str) -> None:
    golden = Golden(name)
    network = golden.network(golden.parameters("init."))
    objective = golden.objective()
    optimizer = torch.optim.Adam(network.parameter_groups(golden.options.learning_rate))
    steps = golden.settings["steps"]
    rates = golden.settings.get("lr_per_step", [golden.options.learning_rate] * steps)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.zero_grad()
        result = TrainingStep(network, objective)(golden.batch(f"step{step}.in."))
        result.loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), golden.options.grad_clip)
        optimizer.step()
        assert result.loss.item() == pytest.approx(float(golden.arrays[f"step{step}.loss"]), rel=1e-5)
        assert norm.item() == pytest.approx(float(golden.arrays[f"step{step}.grad_norm_before_clip"]), rel=1e-4)
    final = golden.parameters("f64.final.")
    for key, tensor in network.state_dict().items():
        assert relative(tensor, final[key].numpy()) < 1e-5, key


def test_pictures_are_normalised_before_and_after_projection() -> None:
    golden = Golden("fullcnn_stub")
    o = golden.options
    network = VSEpp((36,), 10, 4, o.embed_size, use_abs=o.use_abs, no_imgnorm=o.no_imgnorm).double()
    network.image_tower = CnnTower(torch.nn.Identity(), finetune=False)
    weights = {
        key.removeprefix("img_enc."): torch.from_numpy(golden.arrays[key])
        for key in golden.arrays
        if key.startswith("img_enc.")
    }
    network.image_encoder.load_state_dict(weights)
    assert relative(network.encode_images(golden.batch()).vectors, golden.arrays["f64.img_emb"]) < 1e-6
