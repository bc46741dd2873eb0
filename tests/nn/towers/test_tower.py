"""Towers: tokens and pooled vectors of every library, what is trained of them, and how it is told what cannot be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.nn.towers.tower import ImageTower, build_image_tower, build_text_tower, picture_input

pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite_pytorch")

ModelFolder = Callable[..., Path]

IMAGE_TOWERS = [
    ("torchvision:resnet18", 64),
    ("timm:test_vit", 64),
    ("timm:test_convnext", 64),
    ("timm:test_resnet", 64),
    ("hf:vit", 32),
    ("hf:deit", 32),
    ("hf:swin", 32),
    ("hf:dinov2", 32),
    ("hf:dinov2_with_registers", 32),
    ("hf:dinov3_vit", 32),
    ("hf:clip", 32),
    ("hf:siglip", 32),
    ("efficientnet_lite0", 64),
]
TEXT_TOWERS = ["bert", "roberta", "clip", "siglip"]


def make_tower(name: str, size: int, model_folder: ModelFolder, **settings: Any) -> ImageTower:
    torch.manual_seed(1)
    if name.startswith("hf:"):
        return build_image_tower(f"hf:{model_folder(name[3:])}", **settings)
    return build_image_tower(name, size, pretrained=False, **settings)


def pictures(size: int, count: int = 2) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


@pytest.mark.parametrize(("name", "size"), IMAGE_TOWERS)
def test_tokens_and_pooled_have_the_shapes_that_are_told(name: str, size: int, model_folder: ModelFolder) -> None:
    tower = make_tower(name, size, model_folder)
    tokens = tower(pictures(size))
    assert tokens.shape == (2, *tower.shape)
    assert torch.isfinite(tokens).all()
    assert tower.boxes.shape == (tower.shape[0], 4)
    pooled = make_tower(name, size, model_folder, pooled=True)
    assert pooled(pictures(size)).shape == (2, *pooled.shape)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(("name", "size"), IMAGE_TOWERS)
def test_every_trained_parameter_gets_a_gradient(name: str, size: int, pooled: bool, model_folder: ModelFolder) -> None:
    tower = make_tower(name, size, model_folder, trained="all", pooled=pooled)
    tower(pictures(size)).square().sum().backward()
    without = [key for key, value in tower.named_parameters() if value.requires_grad and value.grad is None]
    assert without == []
    assert any(value.requires_grad for value in tower.parameters())


@pytest.mark.parametrize(("name", "size"), IMAGE_TOWERS)
def test_checkpointed_blocks_give_the_same_gradients(name: str, size: int, model_folder: ModelFolder) -> None:
    gradients = []
    for checkpointing in (False, True):
        tower = make_tower(name, size, model_folder, trained=2, checkpointing=checkpointing)
        torch.manual_seed(3)
        tower(pictures(size)).square().sum().backward()
        gradients.append({key: value.grad for key, value in tower.named_parameters() if value.requires_grad})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    for key, gradient in plain.items():
        torch.testing.assert_close(recomputed[key], gradient, msg=key)


def test_checkpointing_keeps_fewer_tensors_for_the_backward_pass() -> None:
    kept = []
    for checkpointing in (False, True):
        tower = build_image_tower("timm:test_vit", 64, pretrained=False, trained="all", checkpointing=checkpointing)
        tensors: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=tensors: kept.append(t) or t, lambda t: t):
            tower(pictures(64))
        kept.append(sum(tensor.numel() for tensor in tensors))
    assert kept[1] < kept[0] / 3


def test_a_copied_checkpointed_tower_uses_its_own_weights(model_folder: ModelFolder) -> None:
    tower = make_tower("hf:vit", 32, model_folder, trained="all", checkpointing=True)
    other = copy.deepcopy(tower)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert other(pictures(32)).abs().max() == 0


@pytest.mark.parametrize(("name", "size"), IMAGE_TOWERS)
def test_the_last_blocks_alone_are_trained(name: str, size: int, model_folder: ModelFolder) -> None:
    tower = make_tower(name, size, model_folder, trained=1)
    trained = {key for key, value in tower.network.named_parameters() if value.requires_grad}
    assert trained
    assert trained <= set(tower.layers[-1])
    assert len(tower.layers) > 2
    assert sorted(name for layer in tower.layers for name in layer) == sorted(
        name for name, _ in tower.network.named_parameters()
    )


def test_frozen_parts_and_batchnorm_stay_in_eval_mode() -> None:
    tower = build_image_tower("torchvision:resnet18", 64, pretrained=False, trained=1).train()
    body = tower.network
    assert not body.get_submodule("layer1").training
    assert body.get_submodule("layer4.1").training
    assert not body.get_submodule("layer4.1.bn1").training
    before = {key: value.clone() for key, value in tower.state_dict().items()}
    tower(pictures(64))
    assert all(torch.equal(value, before[key]) for key, value in tower.state_dict().items())
    frozen = build_image_tower("timm:test_vit", 64, pretrained=False).train()
    assert not any(module.training for module in frozen.network.modules())


def test_a_frozen_tower_needs_no_graph() -> None:
    tower = build_image_tower("timm:test_vit", 64, pretrained=False)
    assert not tower(pictures(64)).requires_grad
    assert tower.parameter_groups(0.1) == []
    assert build_image_tower("timm:test_vit", 64, pretrained=False, trained=0).parameter_groups(0.1) == []


def test_rates_fall_by_the_layer_towards_the_stem(model_folder: ModelFolder) -> None:
    tower = make_tower("hf:vit", 32, model_folder, trained="all")
    tower.rate, tower.layer_decay = 0.2, 0.5
    groups = tower.parameter_groups(0.5)
    assert [group["lr"] for group in groups] == pytest.approx([0.0125, 0.025, 0.05, 0.1])
    places = {parameter: place for place, group in enumerate(groups) for parameter in group["params"]}
    names = {name: places.get(parameter) for name, parameter in tower.network.named_parameters()}
    assert names["embeddings.cls_token"] == 0
    assert names["layernorm.weight"] == 3
    assert names["pooler.dense.weight"] is None


def test_uint8_pixels_are_normalised_by_the_librarys_numbers(model_folder: ModelFolder) -> None:
    tower = make_tower("hf:clip", 32, model_folder)
    pixels = pictures(32)
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]))
    torch.testing.assert_close(tower(pixels), tower((pixels / 255 - mean) / std))
    assert tower.input == picture_input(tower.name)


@pytest.mark.parametrize("kind", TEXT_TOWERS)
def test_states_do_not_depend_on_the_padding_of_the_batch(kind: str, model_folder: ModelFolder) -> None:
    tower = build_text_tower(f"hf:{model_folder(kind)}").eval()
    ids, lengths = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 3, 0, 0]]), torch.tensor([5, 3])
    states = tower(ids, lengths)
    assert states.shape == (2, 5, 16)
    assert states[1, 3:].abs().max() == 0
    torch.testing.assert_close(states[1:, :3], tower(ids[1:, :3], lengths[1:]))
    pooled = build_text_tower(f"hf:{model_folder(kind)}", pooled=True).eval()
    torch.testing.assert_close(pooled(ids, lengths)[1:], pooled(ids[1:, :3], lengths[1:]))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("kind", TEXT_TOWERS)
def test_every_trained_parameter_of_a_text_tower_gets_a_gradient(
    kind: str, pooled: bool, model_folder: ModelFolder
) -> None:
    tower = build_text_tower(f"hf:{model_folder(kind)}", trained="all", pooled=pooled, checkpointing=True)
    tower(torch.tensor([[2, 7, 3]]), torch.tensor([3])).square().sum().backward()
    without = [key for key, value in tower.named_parameters() if value.requires_grad and value.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("resnet18", {}, "no such image tower; expected torchvision:NAME"),
        ("torchvision:resnet9000", {}, "no such classification network"),
        ("torchvision:inception_v3", {}, "does not end in one map"),
        ("torchvision:squeezenet1_1", {"trained": 2}, "has 0 blocks, not 2"),
        ("torchvision:squeezenet1_1", {"trained": "all", "checkpointing": True}, "leave --gradient_checkpointing out"),
        ("torchvision:resnet18", {"trained": 9}, "has 8 blocks, not 9"),
        ("timm:vit_enormous", {}, "no such network or weights"),
        ("timm:test_vit.no_such_tag", {}, "no such network or weights"),
        ("timm:test_vit", {"size": 70}, "another --image_size"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(name: str, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as refused:
        build_image_tower(name, pretrained=False, **settings)
    assert "\n" not in str(refused.value)


def test_a_text_tower_must_come_from_a_folder() -> None:
    with pytest.raises(InputError, match="no such text tower"):
        build_text_tower("bert-base-uncased")
