"""timm's towers: names and sizes of the real networks, tokens, weights from a file or the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vse.errors import InputError
from vse.nn.towers.tower import build_image_tower, picture_input

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "shape", "size", "some"),
    [
        ("vit_base_patch16_224.augreg_in21k", (196, 768), 85_798_656, "blocks.11.mlp.fc2.weight"),
        ("swin_base_patch4_window7_224", (49, 1024), 86_743_224, "layers.2.blocks.17.attn.qkv.weight"),
    ],
)
def test_real_networks_have_their_published_sizes_and_names(
    name: str, shape: tuple[int, int], size: int, some: str
) -> None:
    with torch.device("meta"):
        tower = build_image_tower(f"timm:{name}", pretrained=False)
    assert tower.shape == shape
    assert sum(parameter.numel() for parameter in tower.parameters()) == size
    assert some in tower.network.state_dict()
    assert tower.input == picture_input(f"timm:{name}")


@pytest.mark.parametrize(("name", "prefix"), [("test_vit", 1), ("test_vit2", 1), ("test_resnet", None)])
def test_tokens_and_pooled_are_the_librarys(name: str, prefix: int | None) -> None:
    tower = build_image_tower(f"timm:{name}", pretrained=False).eval()
    pooled = build_image_tower(f"timm:{name}", pretrained=False, pooled=True).eval()
    pooled.load_state_dict(tower.state_dict())
    pixels = torch.rand(2, 3, tower.input.size, tower.input.size)
    network: Any = tower.network
    features = network.forward_features(pixels)
    expected = features.flatten(2).transpose(1, 2) if prefix is None else features[:, prefix:]
    torch.testing.assert_close(tower(pixels), expected)
    torch.testing.assert_close(pooled(pixels), network(pixels))


def test_weights_come_from_a_file_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    network = timm.create_model("test_vit")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    tower = build_image_tower("timm:test_vit", weights=tmp_path / "w.pth")
    assert torch.equal(tower.state_dict()["network.patch_embed.proj.weight"], network.patch_embed.proj.weight)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: cannot be loaded into timm:test_vit"):
        build_image_tower("timm:test_vit", weights=tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"absent\.pth: no such weights file"):
        build_image_tower("timm:test_vit", weights=tmp_path / "absent.pth")


def test_unreachable_weights_name_the_file_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **settings: Any) -> None:
        raise OSError("no route\nand more")

    monkeypatch.setattr(timm, "create_model", no_network)
    complaint = (
        r"cannot be fetched \(OSError: no route and more\); get model.safetensors of timm/test_vit\S* .* "
        r"with --tower_weights FILE"
    )
    with pytest.raises(InputError, match=complaint) as refused:
        build_image_tower("timm:test_vit")
    assert "\n" not in str(refused.value)


def test_a_network_that_timm_has_no_weights_of_wants_a_file() -> None:
    with pytest.raises(InputError, match=r"timm has no weights of it; give a file of them with --weights FILE"):
        build_image_tower("timm:test_mambaout", option="--weights")


def test_a_size_that_weights_cannot_be_resampled_to_is_named(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"give its own weights, or another --image_size") as refused:
        build_image_tower("timm:test_vit", 15, tmp_path / "w.pth")
    assert len(str(refused.value)) < 500


def test_another_size_resamples_the_positions_of_a_vit(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "w.pth")
    assert build_image_tower("timm:test_vit", 192, tmp_path / "w.pth").shape == (144, 64)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InputError, match=r'timm:test_vit: needs the package timm; pip install "vse\[timm\]"'):
        picture_input("timm:test_vit")
