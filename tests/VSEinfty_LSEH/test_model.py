"""What VSE-infinity's encoders promise beyond the published numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vse.data.batches import ImageBatch, PairBatch
from VSEinfty_LSEH.backbones import SOURCES, GridTower, body, caffe_layout, read_backbone
from VSEinfty_LSEH.model import GridEncoder, RegionEncoder, VSEinfty, WordEncoder, drop, keep


def network(**options: bool) -> VSEinfty:
    torch.manual_seed(0)
    return VSEinfty(RegionEncoder(6, 8, **options), WordEncoder(20, 5, 8))


def batch(pairs: int = 6, regions: int = 7) -> PairBatch:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.arange(pairs + 1, 1, -1)
    captions = torch.randint(1, 20, (pairs, int(lengths[0])), generator=generator)
    captions *= torch.arange(captions.shape[1]) < lengths[:, None]
    images = torch.randn(pairs, regions, 6, generator=generator)
    return PairBatch(
        images=images,
        captions=captions,
        lengths=lengths,
        image_ids=torch.arange(pairs),
        caption_ids=torch.arange(pairs),
    )


def test_keep_compacts_in_order_and_pads_with_zeros() -> None:
    features = torch.arange(1.0, 13.0).view(2, 3, 2)
    kept, lengths = keep(features, torch.tensor([[True, False, True], [False, True, False]]))
    assert lengths.tolist() == [2, 1]
    assert kept.tolist() == [[[1, 2], [5, 6]], [[9, 10], [0, 0]]]


def padded_batch() -> PairBatch:
    whole = batch()
    lengths = torch.tensor([1, 7, 3, 2, 5, 4])
    inside = torch.arange(7) < lengths[:, None]
    return replace(whole, images=whole.images * inside[..., None], region_lengths=lengths)


def test_an_image_with_fewer_regions_is_embedded_as_alone() -> None:
    net, data = network().eval(), padded_batch()
    assert data.region_lengths is not None
    embedded = net.encode_images(data).vectors
    for row, length in enumerate(data.region_lengths.tolist()):
        alone = net.encode_images(ImageBatch(images=data.images[row, None, :length], image_ids=data.image_ids[:1]))
        torch.testing.assert_close(embedded[row], alone.vectors[0])


def test_training_drops_no_more_than_the_regions_there_are() -> None:
    lengths = torch.tensor([1, 3, 30]).repeat(200)
    torch.manual_seed(0)
    kept = drop(torch.ones(600, 30, 2), 0.2, lengths)[1].view(200, 3)
    assert (kept[:, 0] == 1).all()
    assert (kept.amin(0) >= 1).all()
    assert (kept.amax(0) <= torch.tensor([1, 3, 30])).all()
    assert abs(float(kept[:, 2].float().mean()) - 24) < 0.5


def test_only_training_drops_a_fifth_of_the_regions() -> None:
    encoder, seen = RegionEncoder(2, 4), []
    encoder.gpool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    images = torch.randn(400, 30, 2)
    torch.manual_seed(0)
    encoder.train()(images)
    encoder.eval()(images)
    assert seen[0].float().mean() / 30 == pytest.approx(0.8, abs=0.01)
    assert seen[0].unique().numel() > 5
    assert (seen[1] == 30).all()


def test_an_image_never_loses_all_its_regions() -> None:
    encoder, seen = RegionEncoder(2, 4).train(), []
    encoder.gpool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    torch.manual_seed(0)
    for regions in (1, 2):
        encoder(torch.randn(300, regions, 2))
    assert (seen[0] == 1).all()
    assert seen[1].min() == 1
    assert seen[1].max() == 2


def test_a_global_feature_is_one_region() -> None:
    encoder, images = RegionEncoder(5, 4).eval(), torch.randn(3, 5)
    assert torch.equal(encoder(images), encoder(images[:, None]))


def test_dropping_follows_the_seed() -> None:
    first, second = network().train(), network().train()
    embeddings = []
    for net in (first, second):
        torch.manual_seed(3)
        embeddings.append(net.encode_images(batch()).vectors)
    assert torch.equal(*embeddings)
    assert not torch.equal(first.encode_images(batch()).vectors, embeddings[0])


def test_masked_batchnorm_leaves_padding_out_of_its_statistics() -> None:
    regions, lengths = torch.randn(5, 7, 6), torch.tensor([7, 3, 1, 7, 5])
    regions[torch.arange(7) >= lengths[:, None]] = 0.0
    more = torch.cat([regions, torch.zeros(5, 4, 6)], dim=1)
    published, masked = (network(masked_batchnorm=on).image_encoder.train() for on in (False, True))
    results = {name: [enc(x, lengths) for x in (regions, more)] for name, enc in (("p", published), ("m", masked))}
    torch.testing.assert_close(*results["m"])
    assert (results["p"][0] - results["p"][1]).abs().max() > 1e-3
    rows = masked.mlp.layers[0](regions[torch.arange(7) < lengths[:, None]])
    fresh = network(masked_batchnorm=True).image_encoder.train()
    fresh(regions, lengths)
    torch.testing.assert_close(fresh.mlp.bns[0].running_mean, 0.1 * rows.mean(dim=0))


def test_masked_batchnorm_changes_nothing_in_evaluation() -> None:
    published, masked = (network(masked_batchnorm=on).eval() for on in (False, True))
    assert torch.equal(published.encode_images(batch()).vectors, masked.encode_images(batch()).vectors)


def test_embeddings_are_unit_vectors_unless_asked_otherwise() -> None:
    data = batch()
    normal, free = network().eval(), network(normalise=False).eval()
    torch.testing.assert_close(normal.encode_images(data).vectors.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(normal.encode_captions(data).vectors.norm(dim=1), torch.ones(6))
    assert (free.encode_images(data).vectors.norm(dim=1) - 1).abs().min() > 1e-3
    assert normal.bounded_scores
    assert not free.bounded_scores


def test_an_image_of_zeros_has_finite_gradients() -> None:
    encoder = RegionEncoder(4, 6)
    nn.init.zeros_(encoder.mlp.layers[1].weight)
    nn.init.zeros_(encoder.mlp.layers[1].bias)
    encoder(torch.zeros(2, 3, 4), torch.tensor([3, 3])).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_unused_published_parameters_are_kept_and_not_trained() -> None:
    net, data = network().train(), batch()
    (net.encode_images(data).vectors.sum() + net.encode_captions(data).vectors.sum()).backward()
    without = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert without == {"image_encoder.mlp.bns.1.weight", "image_encoder.mlp.bns.1.bias"}
    assert not any(dict(net.named_parameters())[name].requires_grad for name in without)


def test_an_original_state_loads_with_prefixes_and_duplicates() -> None:
    net = network()
    state = net.state_dict()
    parts = [
        {name.removeprefix(side): tensor for name, tensor in state.items() if name.startswith(side)}
        for side in ("image_encoder.", "caption_encoder.")
    ]
    wrapped = [{f"module.{name}": tensor for name, tensor in part.items()} for part in parts]
    for published in (parts, wrapped):
        imported = net.import_published(published, {})
        assert imported.keys() == state.keys()


class Tiny(nn.Module):
    """A ResNet with torchvision's names, too small to be of use."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.resnet import Bottleneck

        self.conv1, self.bn1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        before = 4
        for stage in range(1, 5):
            stride = 1 if stage == 1 else 2
            down = nn.Sequential(nn.Conv2d(before, 8, 1, stride, bias=False), nn.BatchNorm2d(8))
            self.add_module(f"layer{stage}", nn.Sequential(Bottleneck(before, 2, stride, down)))
            before = 8
        self.fc = nn.Linear(8, 3)


def test_published_grid_tensors_are_stored_twice_and_loaded_once() -> None:
    net = VSEinfty(GridEncoder(8, 6), WordEncoder(20, 5, 6))
    net.image_tower = GridTower(body(Tiny()))
    published = {f"module.image_encoder.{name}": tensor for name, tensor in net.image_encoder.state_dict().items()}
    for name, tensor in net.image_tower.backbone.state_dict().items():
        published[f"module.backbone.resnet.{name}"] = tensor
        published[f"module.backbone.{'top.0' if name.startswith('layer4') else 'base.4'}.{name}"] = tensor
    published["module.backbone.resnet.fc.weight"] = torch.zeros(1)
    imported = net.import_published([published, net.caption_encoder.state_dict()], {})
    assert imported.keys() == net.state_dict().keys()


def test_grid_training_loses_a_tenth_of_the_cells_on_average() -> None:
    encoder, seen = GridEncoder(3, 4), []
    encoder.gpool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    torch.manual_seed(0)
    encoder.train()(torch.randn(1000, 64, 3))
    encoder.eval()(torch.randn(2, 64, 3))
    assert seen[0].float().mean() / 64 == pytest.approx(0.904, abs=0.005)
    assert (seen[0] == 64).float().mean() > 0.19
    assert (seen[1] == 64).all()


def test_the_caffe_layout_strides_in_the_first_convolution() -> None:
    layers = body(Tiny())
    caffe_layout(layers)
    assert layers.layer2[0].conv1.stride == (2, 2)
    assert layers.layer2[0].conv2.stride == (1, 1)
    assert layers.layer1[0].conv1.stride == layers.layer1[0].conv2.stride == (1, 1)
    assert layers(torch.randn(1, 3, 64, 96)).shape == (1, 8, 2, 3)


def test_the_detectors_file_is_read_by_its_layers(tmp_path) -> None:
    layers = body(Tiny())
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    base, top = {}, {}
    for name, tensor in layers.state_dict().items():
        first, _, rest = name.partition(".")
        if first == "layer4":
            top[f"0.{rest}"] = tensor
        else:
            base[f"{numbers[first]}.{rest}"] = tensor
    torch.save({"base": base, "top": top}, tmp_path / "detector.pth")
    read = read_backbone(tmp_path / "detector.pth")
    assert read.keys() == layers.state_dict().keys()
    torch.save(layers.state_dict(), tmp_path / "plain.pth")
    assert read_backbone(tmp_path / "plain.pth").keys() == layers.state_dict().keys()


def test_every_source_names_a_network_of_torchvision() -> None:
    import torchvision

    assert {name for name, _ in SOURCES.values()} <= set(torchvision.models.list_models(torchvision.models))
