"""torchvision's towers: names and sizes of the real networks, tokens, weights from a file or the network."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import ResNet18_Weights, VisionTransformer, resnet18

from vse.errors import InputError
from vse.nn.towers import from_torchvision
from vse.nn.towers.tower import build_image_tower


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "size", "head", "some"),
    [
        ("vit_b_16", (196, 768), 86_567_656, 768 * 1000 + 1000, "encoder.layers.encoder_layer_11.mlp.3.weight"),
        ("swin_b", (49, 1024), 87_768_224, 1024 * 1000 + 1000, "features.5.17.attn.qkv.weight"),
        ("resnet50", (49, 2048), 25_557_032, 2048 * 1000 + 1000, "layer4.2.bn3.running_var"),
    ],
)
def test_real_networks_have_their_published_sizes_and_names(
    name: str, shape: tuple[int, int], size: int, head: int, some: str
) -> None:
    with torch.device("meta"):
        tower = build_image_tower(f"torchvision:{name}", pretrained=False)
        whole = torchvision.models.get_model(name)
    assert tower.shape == shape
    assert parameters(tower) + head == size == parameters(whole)
    keys = tower.network.state_dict().keys()
    assert some in keys
    assert {key for key in whole.state_dict() if not key.startswith(("heads.", "head.", "fc."))} == keys


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("mobilenet_v3_small", "classifier.0"),
        ("densenet121", "classifier"),
        ("swin_t", "head"),
        ("resnet18", "fc"),
        ("shufflenet_v2_x0_5", "fc"),
        ("regnet_x_400mf", "fc"),
    ],
)
def test_the_mean_of_the_tokens_is_what_the_head_reads(name: str, head: str) -> None:
    torch.manual_seed(0)
    tower = build_image_tower(f"torchvision:{name}", 64, pretrained=False).eval()
    torch.manual_seed(0)
    whole = torchvision.models.get_model(name).eval()
    seen: list[torch.Tensor] = []
    whole.get_submodule(head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pixels = torch.rand(2, 3, 64, 64)
    tokens = tower(pixels)
    assert tokens.shape == (2, *tower.shape)
    whole(pixels)
    torch.testing.assert_close(tokens.mean(dim=1), seen[0].flatten(1))


def test_a_vit_gives_its_patches_and_its_class_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(name: str, weights: None, image_size: int) -> VisionTransformer:
        torch.manual_seed(0)
        return VisionTransformer(image_size, 16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=8)

    monkeypatch.setattr("torchvision.models.get_model", small)
    tower = build_image_tower("torchvision:vit_b_16", 32, pretrained=False, pooled=True).eval()
    whole = small("vit_b_16", None, 32).eval()
    whole.heads = torch.nn.Identity()
    pixels = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(tower(pixels), whole(pixels))


def test_a_vit_of_another_size_resamples_its_positions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def small(name: str, weights: None, image_size: int) -> VisionTransformer:
        return VisionTransformer(image_size, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)

    monkeypatch.setattr("torchvision.models.get_model", small)
    torch.save(small("vit_b_16", None, 32).state_dict(), tmp_path / "w.pth")
    tower = build_image_tower("torchvision:vit_b_16", 64, tmp_path / "w.pth")
    assert tower.shape == (16, 8)


def test_weights_come_from_a_file_with_or_without_head(tmp_path: Path) -> None:
    state = resnet18().state_dict()
    for name, content in {
        "with": state,
        "without": {key: value for key, value in state.items() if not key.startswith("fc.")},
    }.items():
        torch.save(content, tmp_path / f"{name}.pth")
        tower = build_image_tower("torchvision:resnet18", 64, tmp_path / f"{name}.pth")
        assert torch.equal(tower.state_dict()["network.conv1.weight"], state["conv1.weight"])
    torch.save({"conv1.weight": state["conv1.weight"]}, tmp_path / "part.pth")
    with pytest.raises(InputError, match=r"part\.pth: the file lacks"):
        build_image_tower("torchvision:resnet18", 64, tmp_path / "part.pth")


def test_unreachable_weights_name_the_file_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("name or service not known")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", no_network)
    with pytest.raises(InputError, match=r"get torchvision's resnet18-\w+\.pth .* give it with --tower_weights FILE"):
        build_image_tower("torchvision:resnet18")


def test_picture_input_is_that_of_the_weights() -> None:
    swin = from_torchvision.picture_input("swin_b", None)
    assert (swin.size, swin.interpolation, swin.mean) == (224, "bicubic", (0.485, 0.456, 0.406))
    assert from_torchvision.picture_input("resnet50", 288).size == 288
