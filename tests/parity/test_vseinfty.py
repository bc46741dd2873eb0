"""VSE-infinity computes what the published network computes on regions (tests/golden/vseinfty)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from tests.parity.golden import GOLDEN, relative
from tests.parity.vseinfty import CLOSE, Golden, hinge
from vse.checkpoints import load_weights
from vse.data.batches import CaptionBatch, ImageBatch
from vse.losses import ObjectiveOptions, Warmup, build_objective, resolve
from vse.losses.objective import Pairs
from vse.nn.network import Embeddings
from vse.published import checkpoints as published
from VSEinfty_LSEH import loss
from VSEinfty_LSEH.model import BertEncoder, RegionEncoder, VSEinfty
from VSEinfty_LSEH.pooling import GeneralisedPooling, rank_encoding
from VSEinfty_LSEH.schedule import make_optimizer


def pairs_of(scores: Tensor) -> Pairs:
    rows = torch.arange(len(scores))
    return Pairs(rows, rows)


def update(network: VSEinfty, optimizer: torch.optim.Optimizer, loss_: Tensor, clip: float) -> None:
    optimizer.zero_grad()
    loss_.backward()
    if clip > 0:
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    optimizer.step()


@pytest.mark.parametrize("case", ["c0_varlen", "c1_crop", "c4_ties_relu"])
def test_pooling(case: str) -> None:
    golden = Golden("gpo")
    sizes = next(entry for entry in golden.settings["cases"] if entry["name"] == case)
    pooling = GeneralisedPooling(sizes["d_pe"], sizes["d_hidden"])
    pooling.load_state_dict(golden.under(f"{case}/param/"))
    pooling.double()
    inputs, wanted, gradients = (golden.under(f"{case}/{part}/") for part in ("in", "out", "grad"))
    features, lengths = inputs["features"].double().requires_grad_(), inputs["lengths"].long()

    assert torch.equal(rank_encoding(int(lengths.max()), sizes["d_pe"]), wanted["pe"])
    assert relative(pooling.weights(lengths), wanted["weights"].squeeze(-1)) < CLOSE
    pooled = pooling(features, lengths)
    assert relative(pooled, wanted["pooled"]) < CLOSE
    (pooled * inputs["upstream"]).sum().backward()
    assert gradients
    for name, gradient in gradients.items():
        ours = features.grad if name == "features" else pooling.get_parameter(name).grad
        assert ours is not None
        assert relative(ours, gradient) < CLOSE, name


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_regions_and_bert_embeddings_scores_and_losses(mode: str) -> None:
    golden = Golden("region_bert")
    network = golden.network().train(mode == "train")
    batch, wanted = golden.under("in/"), golden.under(f"out_{mode}/")
    images, lengths = batch["images"].double(), batch["image_lengths"].long()
    encoder = network.image_encoder
    assert isinstance(encoder, RegionEncoder)
    assert encoder.mlp is not None
    assert relative(encoder.gpool.weights(lengths), wanted["img_pool_weights"].squeeze(-1)) < CLOSE
    if mode == "eval":
        assert relative(encoder.fc(images) + encoder.mlp(images, lengths), wanted["img_features"]) < CLOSE
    assert relative(encoder(images, lengths), wanted["img_emb"]) < CLOSE
    assert relative(network.caption_encoder(batch["captions"], batch["lengths"]), wanted["txt_emb"]) < CLOSE
    scores = golden.scores(network)
    assert relative(scores, wanted["scores"]) < CLOSE
    for kind in ("sum", "max"):
        value = hinge(f"{kind}_hinge", golden.options.margin)(scores, pairs_of(scores))
        assert value.item() == pytest.approx(float(wanted[f"loss_{kind}"]), rel=CLOSE)


def test_regions_and_bert_in_float32() -> None:
    golden = Golden("region_bert")
    network = golden.network().float().train()
    batch = golden.under("in/")
    images = Embeddings(network.image_encoder(batch["images"], batch["image_lengths"].long()))
    captions = Embeddings(network.caption_encoder(batch["captions"], batch["lengths"]))
    assert relative(network.similarity(images, captions), golden["out_train/scores"]) < 2e-6


def test_regions_and_bert_gradients() -> None:
    golden = Golden("region_bert")
    network = golden.network().train()
    scores = golden.scores(network)
    hinge("max_hinge", golden.options.margin)(scores, pairs_of(scores)).backward()
    wanted = golden.parameters("grad_max/")
    assert len(wanted) > 30
    for name, gradient in wanted.items():
        ours = network.get_parameter(name).grad
        assert ours is not None
        assert relative(ours, gradient) < CLOSE, name
    norm = nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    assert norm.item() == pytest.approx(float(golden["out_train/grad_norm_max"]), rel=CLOSE)


def test_four_steps_end_at_the_original_weights() -> None:
    golden = Golden("region_bert")
    network = golden.network().train()
    # Each step is an epoch here.
    objective = Warmup(hinge("max_hinge", golden.options.margin), epochs=2, form="sum")
    optimizer = make_optimizer(network, objective, golden.options)
    rates = [group["lr"] for group in optimizer.param_groups]
    for step, wanted in enumerate(golden["traj/losses"].tolist()):
        objective.begin(step, 0, 1)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (0.1 if step == 3 else 1.0)
        scores = golden.scores(network, ("in/", "in_b/")[step % 2])
        value = objective(scores, pairs_of(scores))
        assert value.item() == pytest.approx(wanted, rel=CLOSE)
        update(network, optimizer, value, golden.options.grad_clip)
    state = network.state_dict()
    wanted_state = golden.parameters("after_step4/")
    assert len(wanted_state) > 20
    for name, tensor in wanted_state.items():
        assert relative(state[name], tensor) < CLOSE, name


def test_lseh_step() -> None:
    golden = Golden("region_bert")
    golden.options = SimpleNamespace(**golden.settings["lseh_opt"], bert_lr_factor=None)
    network = golden.network().train()
    objective = build_objective(resolve(ObjectiveOptions(same_image_key="legacy_div5"), loss.DEFAULTS))
    batch = golden.under("lseh/in/")
    scores = golden.scores(network)
    pairs = Pairs(batch["img_ids"], batch["ids"], batch["svd"].double())
    image_to_text, text_to_image = objective.directions(scores, pairs)
    wanted = golden.under("lseh/out_train/")
    assert image_to_text.item() == pytest.approx(float(wanted["Le_S"]), rel=CLOSE)
    assert text_to_image.item() == pytest.approx(float(wanted["Le_Im"]), rel=CLOSE)
    value = image_to_text + text_to_image
    assert value.item() == pytest.approx(float(wanted["loss"]), rel=CLOSE)
    update(network, make_optimizer(network, objective, golden.options), value, golden.options.grad_clip)
    state = network.state_dict()
    for name, tensor in golden.parameters("lseh/after_step1/").items():
        assert relative(state[name], tensor) < CLOSE, name


def test_bigru_embeddings_gradients_and_step() -> None:
    golden = Golden("bigru")
    network = golden.network().eval()
    batch = golden.under("in/")
    assert relative(network.caption_encoder(batch["captions"], batch["lengths"]), golden["out_eval/txt_emb"]) < CLOSE
    assert relative(golden.scores(network), golden["out_eval/scores"]) < CLOSE

    scores = golden.scores(network.train())
    value = hinge("sum_hinge", golden.options.margin)(scores, pairs_of(scores))
    assert value.item() == pytest.approx(float(golden["out_train/loss_sum"]), rel=CLOSE)
    value.backward()
    for name, gradient in golden.parameters("grad_sum/").items():
        ours = network.get_parameter(name).grad
        assert ours is not None
        assert relative(ours, gradient) < CLOSE, name

    network = golden.network().train()
    objective = hinge("max_hinge", golden.options.margin)
    scores = golden.scores(network)
    value = objective(scores, pairs_of(scores))
    assert value.item() == pytest.approx(float(golden["step/loss_max"]), rel=CLOSE)
    optimizer = make_optimizer(network, objective, golden.options)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01}
    update(network, optimizer, value, golden.options.grad_clip)
    state = network.state_dict()
    for name, tensor in golden.parameters("after_step1/").items():
        assert relative(state[name], tensor) < CLOSE, name


def test_a_published_checkpoint_gives_the_published_similarities() -> None:
    golden = Golden("checkpoint")
    checkpoint = published.load(GOLDEN / "vseinfty" / "published.pth")
    options, state = checkpoint.options, checkpoint.parts
    hidden = state[1]["module.bert.pooler.dense.bias"].shape[0]
    layers = 1 + max(int(name.split(".")[4]) for name in state[1] if ".layer." in name)
    bert = BertConfig(
        vocab_size=len(golden.settings["vocab"]),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=golden.settings["bert_heads"],
        intermediate_size=state[1]["module.bert.encoder.layer.0.intermediate.dense.bias"].shape[0],
        max_position_embeddings=state[1]["module.bert.embeddings.position_embeddings.weight"].shape[0],
        attn_implementation="sdpa",
    )
    network = VSEinfty(
        RegionEncoder(options["img_dim"], options["embed_size"]),
        BertEncoder(BertModel(bert), hidden, options["embed_size"]),
    ).eval()
    load_weights(network, checkpoint)
    rows = torch.arange(len(golden["captions"]))
    with torch.no_grad():
        images = network.encode_images(ImageBatch(images=golden["test_ims"], image_ids=rows))
        captions = network.encode_captions(
            CaptionBatch(captions=golden["captions"], lengths=golden["lengths"], image_ids=rows, caption_ids=rows)
        )
    assert (network.similarity(images, captions) - golden["sims"]).abs().max() < 2e-6
