"""VSRN computes what the published network computes (tests/golden/vsrn: numbers that it produced)."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.parity.golden import GOLDEN, GoldenFile
from vse.checkpoints import load_weights
from vse.data.batches import PairBatch
from vse.losses.lseh import LSEH
from vse.published import checkpoints as published
from vse.training.step import TrainingStep
from VSRN_LSEH.captioning import Captioner, caption_labels
from VSRN_LSEH.model import VSRN, ReasonedImages

PREFIXES = {
    "img_enc/": "image_encoder.",
    "txt_enc/": "caption_encoder.",
    "encoder/": "captioner.encoder.",
    "decoder/": "captioner.decoder.",
}
NETWORKS = ("f30k_lseh", "coco_lseh", "options")
WITHOUT_GRADIENT = "W.0.bias"
"""A BatchNorm follows these biases: their true gradient is 0, the published one rounding noise, its Adam step +-lr."""


class Golden(GoldenFile):
    """The published options, the network and the batch that a file describes."""

    def __init__(self, name: str) -> None:
        super().__init__("vsrn", name)
        self.seed = self.settings["seed"]
        self.options = SimpleNamespace(**self.settings["opt"])

    def tensors(self, kind: str) -> dict[str, Tensor]:
        """`kind`/<published module>/<key> under our names."""
        return self.renamed({f"{kind}/{theirs}": ours for theirs, ours in PREFIXES.items()})

    def network(self, captioner_updates: int = 2) -> VSRN:
        o = self.options
        return VSRN(
            o.vocab_size,
            o.img_dim,
            o.embed_size,
            o.word_dim,
            o.num_layers,
            use_abs=o.use_abs,
            no_imgnorm=o.no_imgnorm,
            measure=o.measure,
            final_batchnorm=o.data_name == "f30k_precomp",
            dim_hidden=o.dim_hidden,
            dim_word=o.dim_word,
            input_dropout_p=0.0,
            max_len=o.max_len,
            captioner_updates=captioner_updates,
        )

    def loaded(self, captioner_updates: int = 2) -> VSRN:
        network = self.network(captioner_updates)
        network.load_state_dict(self.tensors("param"))
        return network.double()

    def batch(self) -> PairBatch:
        return PairBatch(
            images=self["in/images"].double(),
            captions=self["in/captions"],
            lengths=self["in/lengths"],
            image_ids=self["in/img_ids"],
            caption_ids=self["in/ids"],
            descriptions=self["in/dv"].double(),
        )

    def step(self, network: VSRN) -> TrainingStep:
        return TrainingStep(network, LSEH(max_violation=self.options.max_violation, same_image_key="legacy_div5"))


def difference(ours: Tensor, golden: Tensor) -> float:
    return float((ours.detach().double() - golden.double()).abs().max())


@pytest.fixture(params=NETWORKS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_evaluation_mode(golden: Golden) -> None:
    network, batch = golden.loaded().eval(), golden.batch()
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    encoding = network.image_encoder(batch.images)
    assert difference(images.vectors, golden["eval/img_emb"]) < 2e-6
    assert difference(captions.vectors, golden["eval/cap_emb"]) < 2e-6
    assert difference(encoding.regions, golden["eval/gcn"]) < 5e-6
    assert difference(network.similarity(images, captions), golden["eval/scores"]) < 2e-6
    loss = network.extra_loss(batch, encoding, captions)["captioning"]
    assert difference(loss, golden["eval/caption_loss"]) < 5e-5


def test_training_mode_and_running_statistics(golden: Golden) -> None:
    network, batch = golden.loaded(), golden.batch()
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    assert isinstance(images, ReasonedImages)
    assert difference(images.vectors, golden["train/img_emb"]) < 2e-5
    assert difference(captions.vectors, golden["train/cap_emb"]) < 2e-6
    state = network.state_dict()
    for name, wanted in golden.tensors("train_bn").items():
        assert difference(state[name], wanted) <= 1e-4 * max(1.0, float(wanted.abs().max())), name


def test_losses_and_gradients(golden: Golden) -> None:
    network = golden.loaded()
    result = golden.step(network)(golden.batch())
    retrieval = result.image_to_text + result.text_to_image
    assert difference(retrieval, golden["train/retrieval_lseh"]) < 5e-5
    assert difference(result.extra["captioning"], golden["train/caption_loss"]) < 5e-5
    assert result.loss == retrieval + result.extra["captioning"]
    result.loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    wanted = golden.tensors("grad")
    assert len(wanted) >= 15
    for name, gradient in wanted.items():
        if name.endswith(WITHOUT_GRADIENT):
            assert gradients[name].abs().max() < 1e-10
        else:
            assert difference(gradients[name], gradient) < 1e-3 * float(gradient.abs().max()), name


def optimizer_step(golden: Golden, network: VSRN) -> Tensor:
    """Clip and step as training does; returns the gradient norm."""
    with pytest.warns(UserWarning, match="duplicate") if network.captioner_updates > 1 else nullcontext():
        optimizer = torch.optim.Adam(network.parameter_groups(golden.options.learning_rate))
    golden.step(network)(golden.batch()).loss.backward()
    listed = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(listed, golden.options.grad_clip)
    optimizer.step()
    return norm


def test_captioner_listed_twice_counts_twice_in_the_norm(golden: Golden) -> None:
    for updates, key in ((2, "reference"), (1, "unique")):
        norm = optimizer_step(golden, golden.loaded(updates))
        assert norm.item() == pytest.approx(float(golden[f"step/total_norm_{key}"]), rel=2e-5)


@pytest.mark.parametrize(("updates", "kind"), [(2, "step"), (1, "step_dedup")])
def test_optimizer_step_with_the_captioner_listed_twice_and_once(updates: int, kind: str) -> None:
    golden = Golden("f30k_lseh")
    network = golden.loaded(updates)
    optimizer_step(golden, network)
    state, lr = network.state_dict(), golden.options.learning_rate
    steps = []
    for name, wanted in golden.tensors(kind).items():
        if name.endswith(WITHOUT_GRADIENT):
            before = golden.tensors("param")[name]
            assert difference(state[name], before) < 1.05 * lr
        elif "running" not in name and "num_batches" not in name:
            steps.append((state[name] - wanted).abs().flatten() / lr)
    off = torch.cat(steps)
    assert off.max() < 0.3
    assert (off < 0.02).double().mean() > 0.999


def test_losses_over_five_steps() -> None:
    golden = Golden("f30k_lseh")
    network = golden.loaded()
    step, batch = golden.step(network), golden.batch()
    with pytest.warns(UserWarning, match="duplicate"):
        optimizer = torch.optim.Adam(network.parameter_groups(golden.options.learning_rate))
    listed = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for wanted in golden["traj/losses"]:
        result = step(batch)
        losses = torch.stack([result.image_to_text + result.text_to_image, result.extra["captioning"], result.loss])
        assert difference(losses, wanted) < 5e-4
        optimizer.zero_grad()
        result.loss.backward()
        torch.nn.utils.clip_grad_norm_(listed, golden.options.grad_clip)
        optimizer.step()


def test_decoder_log_probabilities_at_every_step() -> None:
    golden = Golden("f30k_lseh")
    captioner = golden.loaded().eval().captioner
    states = captioner.decoder(golden["in/caption_labels"][:, :-2], *captioner.encoder(golden["eval/gcn"].double()))
    assert difference(captioner.decoder.out(states).log_softmax(-1), golden["eval/seq_logprobs"]) < 5e-6


def test_greedy_captions() -> None:
    golden = Golden("f30k_lseh")
    words, score = golden.loaded().eval().captioner.generate(golden["eval/gcn"].double())
    assert torch.equal(words, golden["infer/seq_preds"])
    assert difference(score, golden["infer/seq_logprobs"].sum(1)) < 2e-5


def test_bidirectional_captioner() -> None:
    golden = Golden("caption_bidir")
    o = golden.options
    captioner = Captioner(o.vocab_size, o.embed_size, o.dim_hidden, o.dim_word, 0.0, True, o.max_len).double()
    captioner.load_state_dict({k.removeprefix("captioner."): v for k, v in golden.tensors("param").items()})
    regions = golden["in/feats"].double().requires_grad_()
    # The file holds labels and masks alone; what the masks leave out are zeros after the labels' first zero.
    labels = golden["in/caption_labels"]
    lengths = (labels != 0).sum(dim=1)
    loss = captioner.loss(regions, labels, lengths)
    assert difference(loss, golden["out/caption_loss"]) < 1e-5
    loss.backward()
    assert difference(regions.grad, golden["grad/feats"]) < 1e-5
    for name, gradient in golden.tensors("grad").items():
        ours = captioner.get_parameter(name.removeprefix("captioner.")).grad
        assert difference(ours, gradient) < 1e-4 * max(1.0, float(gradient.abs().max())), name


def test_seeded_construction_draws_the_published_weights() -> None:
    golden = Golden("init")
    torch.manual_seed(golden.seed)
    state = golden.network().state_dict()
    for name, wanted in golden.tensors("param").items():
        assert difference(state[name], wanted) < 1e-6, name


def test_caption_labels_from_token_ids() -> None:
    with np.load(GOLDEN / "vsrn" / "labels.npz") as file:
        lengths, tokens = torch.from_numpy(file["target_lengths"]), file["targets_concat"]
        wanted, masks, max_len = torch.from_numpy(file["caption_labels"]), file["caption_masks"], int(file["max_len"])
    captions = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(part) for part in np.split(tokens, lengths.cumsum(0)[:-1])], batch_first=True
    )
    labels, counted = caption_labels(captions, lengths, max_len)
    assert torch.equal(labels, wanted[:, :max_len])
    assert np.array_equal(counted.numpy(), masks[:, 1:max_len] == 1)


@pytest.mark.parametrize("legacy", [True, False])
def test_published_checkpoint(legacy: bool, tmp_path: Path) -> None:
    """The file of PyTorch 0.4 (not a zip archive), and the same content in today's form."""
    path = GOLDEN / "vsrn" / "published_legacy.pth.tar"
    if not legacy:
        content = torch.load(path, weights_only=False)
        path = tmp_path / "published.pth.tar"
        torch.save(content, path)
    checkpoint = published.load(path)
    o = SimpleNamespace(**checkpoint.options)
    network = VSRN(o.vocab_size, o.img_dim, o.embed_size, o.word_dim, final_batchnorm=True, dim_hidden=8, dim_word=8)
    load_weights(network, checkpoint)
    with np.load(GOLDEN / "vsrn" / "published.npz") as file:
        given = {key: torch.from_numpy(file[key]) for key in file.files}
    rows = torch.arange(len(given["lengths"]))
    batch = PairBatch(
        images=given["images"], captions=given["captions"], lengths=given["lengths"], image_ids=rows, caption_ids=rows
    )
    with torch.no_grad():
        network.eval()
        assert difference(network.encode_images(batch).vectors, given["image_embeddings"]) < 5e-6
        assert difference(network.encode_captions(batch).vectors, given["caption_embeddings"]) < 5e-6
