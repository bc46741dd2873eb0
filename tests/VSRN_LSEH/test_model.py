"""What VSRN's network promises beyond the published numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import vse.training.loop
from vse.data.batches import PairBatch
from vse.losses.max_hinge import MaxHinge
from vse.nn.attention import word_mask
from vse.nn.network import Embeddings
from VSRN_LSEH.model import VSRN, RealRegions, ReasonedImages, RegionReasoning

VOCABULARY = 12


def make_network(**options: object) -> VSRN:
    torch.manual_seed(0)
    sizes = {"img_dim": 6, "embed_size": 8, "word_dim": 5, "dim_hidden": 4, "dim_word": 3, "max_len": 9}
    return VSRN(VOCABULARY, **{**sizes, **options})


def make_batch(regions: int = 7, pairs: int = 4) -> PairBatch:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.arange(pairs + 2, 2, -1)
    words = torch.randint(4, VOCABULARY, (pairs, int(lengths[0])), generator=generator)
    words[:, 0] = 1
    words[torch.arange(pairs), lengths - 1] = 2
    words *= torch.arange(words.shape[1]) < lengths[:, None]
    images = torch.randn(pairs, regions, 6, generator=generator)
    return PairBatch(
        images=images, captions=words, lengths=lengths, image_ids=torch.arange(pairs), caption_ids=torch.arange(pairs)
    )


def test_only_training_carries_regions_to_the_captioner() -> None:
    network, batch = make_network(), make_batch()
    images = network.encode_images(batch)
    assert isinstance(images, ReasonedImages)
    assert images.vectors.shape == (4, 8)
    assert images.regions.shape == (4, 7, 8)
    captions = network.encode_captions(batch)
    assert torch.equal(network.similarity(images, captions), network.similarity(Embeddings(images.vectors), captions))
    assert set(network.extra_loss(batch, images, captions)) == {"captioning"}
    evaluated = network.eval().encode_images(batch)
    assert type(evaluated) is Embeddings
    assert evaluated.vectors.shape == (4, 8)


def test_the_captioning_loss_reaches_the_region_reasoning() -> None:
    network, batch = make_network(), make_batch()
    images = network.encode_images(batch)
    network.extra_loss(batch, images, network.encode_captions(batch))["captioning"].backward()
    assert network.image_encoder.fc.weight.grad.abs().max() > 0
    assert network.image_encoder.img_rnn.weight_hh_l0.grad is None


def test_without_captioning_there_is_no_extra_loss() -> None:
    network, batch = make_network(captioning=False), make_batch()
    images = network.encode_images(batch)
    assert type(images) is Embeddings
    assert network.extra_loss(batch, images, network.encode_captions(batch)) == {}
    [group] = network.parameter_groups(0.1)
    assert len(group["params"]) == len(set(group["params"])) == len(list(network.parameters()))
    assert not any(name.startswith("captioner") for name in network.state_dict())


def padded(network: VSRN, lengths: list[int], size: int) -> tuple[PairBatch, list[PairBatch]]:
    """A batch of images with noise as padding, and each of its images alone without it."""
    batch = make_batch(regions=size, pairs=len(lengths))
    for block in (network.image_encoder.Rs_GCN_1, network.image_encoder.Rs_GCN_2):
        torch.nn.init.normal_(block.W[1].weight)
    one_by_one = [
        replace(
            batch,
            images=batch.images[k : k + 1, :length],
            captions=batch.captions[k : k + 1],
            lengths=batch.lengths[k : k + 1],
        )
        for k, length in enumerate(lengths)
    ]
    return replace(batch, region_lengths=torch.tensor(lengths)), one_by_one


@pytest.mark.parametrize("options", [{}, {"region_norm_axis": "features"}, {"final_batchnorm": True}])
def test_padding_of_regions_has_no_influence(options: dict[str, object]) -> None:
    network = make_network(**options).eval()
    batch, alone = padded(network, [3, 7, 1, 5], size=7)
    expected = torch.cat([network.encode_images(one).vectors for one in alone])
    torch.testing.assert_close(network.encode_images(batch).vectors, expected)


def test_padding_of_regions_has_no_influence_on_captions() -> None:
    network = make_network(input_dropout_p=0.0)
    assert network.captioner is not None
    batch, alone = padded(network, [3, 7, 1, 5], size=7)
    network.eval()
    encode, captioner = network.image_encoder, network.captioner
    losses = torch.stack([captioner.loss(encode(one.images).regions, one.captions, one.lengths) for one in alone])
    regions = encode(batch.images, batch.region_lengths).regions
    loss = captioner.loss(regions, batch.captions, batch.lengths, batch.region_lengths)
    torch.testing.assert_close(loss, losses.mean())
    words, scores = captioner.generate(regions, 2, batch.region_lengths)
    for k, one in enumerate(alone):
        written, score = captioner.generate(encode(one.images).regions, 2)
        assert words[k].tolist()[: written.shape[1]] == written[0].tolist()
        torch.testing.assert_close(scores[k], score[0])


def test_only_real_regions_enter_the_moments_of_a_batchnorm() -> None:
    network = make_network()
    batch, _ = padded(network, [3, 7, 1, 5], size=7)
    block = network.image_encoder.Rs_GCN_1
    network.encode_images(batch)
    once = block.W[1].get_buffer("running_var").clone()
    block.W[1].reset_running_stats()
    network.encode_images(
        replace(batch, images=batch.images * word_mask(batch.region_lengths, 7, torch.device("cpu"))[..., None])
    )
    torch.testing.assert_close(block.W[1].get_buffer("running_var"), once)


def test_every_region_reasoning_block_starts_as_the_identity() -> None:
    network = make_network().image_encoder
    regions = torch.randn(2, 5, 8)
    assert torch.equal(network.Rs_GCN_3(regions), regions)


def test_region_reasoning_is_the_published_pair_of_sums() -> None:
    block = make_network().image_encoder.Rs_GCN_1.double()
    torch.nn.init.normal_(block.W[1].weight)
    regions = torch.randn(2, 5, 8, dtype=torch.float64)
    channels_first = regions.transpose(1, 2)
    theta, phi, g = (torch.nn.Conv1d.forward(layer, channels_first) for layer in (block.theta, block.phi, block.g))
    received = torch.zeros_like(channels_first)
    for n in range(5):
        for m in range(5):
            received[:, :, n] += (theta[:, :, n] * phi[:, :, m]).sum(1, keepdim=True) / 5 * g[:, :, m]
    received = torch.nn.Conv1d.forward(block.W[0], received)
    mean, variance = received.mean(dim=(0, 2)), received.var(dim=(0, 2), unbiased=False)
    norm = (received - mean[:, None]) / (variance[:, None] + 1e-5).sqrt()
    wanted = norm * block.W[1].weight[:, None] + channels_first
    torch.testing.assert_close(block(regions), wanted.transpose(1, 2))


@pytest.mark.parametrize(("axis", "dim"), [("regions", 1), ("features", 2)])
@pytest.mark.parametrize("final_batchnorm", [False, True])
def test_region_norm_axis_chooses_the_vectors_of_unit_length(axis: str, dim: int, final_batchnorm: bool) -> None:
    encoder = make_network(region_norm_axis=axis, final_batchnorm=final_batchnorm).image_encoder
    lengths = encoder(make_batch().images).regions.norm(dim=dim)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_final_batchnorm_replaces_the_norm_of_projections() -> None:
    batch = make_batch()
    with_norm, with_batchnorm = make_network(), make_network(final_batchnorm=True)
    projected = with_norm.image_encoder.fc(batch.images)
    seen = []
    for network in (with_norm, with_batchnorm):
        network.image_encoder.Rs_GCN_1.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
        network.encode_images(batch)
    torch.testing.assert_close(seen[0], projected / projected.norm(dim=1, keepdim=True))
    torch.testing.assert_close(seen[1], projected)
    assert "image_encoder.bn.weight" in with_batchnorm.state_dict()
    assert "image_encoder.bn.weight" not in with_norm.state_dict()


@pytest.mark.parametrize("regions", [1, 3, 50])
def test_any_number_of_regions(regions: int) -> None:
    network, batch = make_network(), make_batch(regions)
    loss = network.extra_loss(batch, network.encode_images(batch), network.encode_captions(batch))["captioning"]
    assert torch.isfinite(loss)


def test_an_image_of_zeros_gives_numbers() -> None:
    network, batch = make_network(), make_batch()
    batch.images[1] = 0.0
    images = network.encode_images(batch)
    loss = images.vectors.sum() + network.extra_loss(batch, images, network.encode_captions(batch))["captioning"]
    loss.backward()
    assert torch.isfinite(images.vectors).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


def test_use_abs_and_no_imgnorm() -> None:
    batch = make_batch()
    network = make_network(use_abs=True, no_imgnorm=True, measure="order").eval()
    images, captions = network.encode_images(batch), network.encode_captions(batch)
    assert (images.vectors >= 0).all()
    assert (captions.vectors >= 0).all()
    assert (images.vectors.norm(dim=1) - 1).abs().max() > 0.01
    torch.testing.assert_close(captions.vectors.norm(dim=1), torch.ones(4))
    assert (network.similarity(images, captions) <= 0).all()
    assert not network.bounded_scores
    assert make_network().bounded_scores


def test_optimizer_state_of_a_captioner_listed_twice_reloads() -> None:
    network = make_network()
    batch = make_batch()

    def make_optimizer() -> torch.optim.Optimizer:
        with pytest.warns(UserWarning, match="duplicate"):
            return torch.optim.Adam(network.parameter_groups(0.001))

    optimizer = make_optimizer()
    images = network.encode_images(batch)
    network.extra_loss(batch, images, network.encode_captions(batch))["captioning"].backward()
    optimizer.step()
    restored = make_optimizer()
    restored.load_state_dict(optimizer.state_dict())
    assert next(iter(network.captioner.parameters())) in restored.state
    for parameter, state in optimizer.state.items():
        expected = 2 if any(parameter is own for own in network.captioner.parameters()) else 1
        assert state["step"] == expected
        assert restored.state[parameter]["step"] == expected
        assert torch.equal(restored.state[parameter]["exp_avg"], state["exp_avg"])


@pytest.mark.parametrize(
    ("vocab_size", "final_batchnorm", "image_part", "total"),
    [(8481, True, 96_536_576, 125_601_401), (10006, False, 96_532_480, 127_294_630)],
)
def test_published_sizes(vocab_size: int, final_batchnorm: bool, image_part: int, total: int) -> None:
    with torch.device("meta"):
        network = VSRN(vocab_size, final_batchnorm=final_batchnorm)
    assert sum(parameter.numel() for parameter in network.image_encoder.parameters()) == image_part
    assert sum(parameter.numel() for parameter in network.parameters()) == total


def test_a_published_checkpoint_leaves_the_captioner_as_it_is() -> None:
    network, other = make_network(), make_network()
    torch.nn.init.ones_(other.image_encoder.fc.weight)
    parts = [other.image_encoder.state_dict(), other.caption_encoder.state_dict()]
    captioner = {name: tensor.clone() for name, tensor in network.captioner.state_dict().items()}
    network.load_state_dict(network.import_published(parts, {}))
    assert (network.image_encoder.fc.weight == 1).all()
    assert all(torch.equal(tensor, captioner[name]) for name, tensor in network.captioner.state_dict().items())


def test_regions_are_not_sent_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = []

    def record(encoding):
        gathered.append(encoding)
        return encoding

    monkeypatch.setattr(vse.training.step, "gather_rows", record)
    vse.training.step.TrainingStep(make_network(), MaxHinge())(make_batch())
    assert len(gathered) == 4
    assert all(isinstance(rows, torch.Tensor) and rows.ndim < 3 for rows in gathered)


def test_final_batchnorm_needs_two_pairs_per_batch() -> None:
    assert make_network(final_batchnorm=True).smallest_batch == 2
    assert make_network().smallest_batch == 1


@pytest.mark.parametrize("lengths", [None, torch.tensor([7, 5, 1, 6])])
def test_many_regions_are_reasoned_over_as_few_are(lengths: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    block = RegionReasoning(8).double().eval()  # 28 regions of 8 features together: by the product of two weights
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    regions = torch.randn(4, 7, 8, dtype=torch.float64)
    if lengths is not None:
        regions *= word_mask(lengths, 7, regions.device)[..., None]

    def reason(part: slice) -> tuple[torch.Tensor, ...]:
        real = None if lengths is None else RealRegions.of(lengths[part], 7, regions.device)
        seen = regions[part].clone().requires_grad_()
        reasoned = block(seen, real)
        return reasoned.detach(), *torch.autograd.grad(reasoned.square().sum(), [seen, *block.parameters()])

    together = reason(slice(None))
    alone = [reason(slice(image, image + 1)) for image in range(4)]
    for number, (whole, parts) in enumerate(zip(together, zip(*alone, strict=True), strict=True)):
        expected = torch.cat(parts) if number < 2 else torch.stack(parts).sum(0)
        torch.testing.assert_close(whole, expected)
