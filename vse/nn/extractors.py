"""Extract local features of pictures: regions with a detector, tokens with a tower."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.ops import batched_nms
from torchvision.transforms.functional import pil_to_tensor

from vse.data.boxes import grid as grid_boxes
from vse.data.decoding import read_pixels
from vse.data.images import open_picture
from vse.errors import InputError
from vse.nn.backbones import fetch_weights, fit_weights, read_weights
from vse.nn.towers.tower import ImageTower, build_image_tower

NMS_OVERLAP = 0.3  # bottom-up attention's (Anderson et al. 2018)

EPS_FREE = ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn")


class BoxedFeatures(NamedTuple):
    """Local features of B pictures, [B, R, D], and their boxes, [B, R, 4] (x1 y1 x2 y2, pixels); float32.

    Or one vector a picture, [B, D], with the box of the whole picture, [B, 1, 4].
    """

    features: np.ndarray
    boxes: np.ndarray


class Extractor(Protocol):
    """A network that extracts R local features of D dimensions, or one vector of D, per picture."""

    shape: tuple[int, ...]
    """(R, D) or (D,)"""

    def read(self, path: Path) -> tuple[Tensor, tuple[int, int]]:
        """Decode a picture -> the network's input and the picture's (width, height); runs in loader workers."""

    def __call__(self, inputs: list[Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
        """Extract features of B pictures, whose sizes (width, height) scale the boxes."""


def build_extractor(
    name: str,
    weights: Path | None,
    regions: int,
    grid: int | None,
    image_size: int | None,
    device: torch.device,
    pooled: bool = False,
) -> Extractor:
    """Build the extractor of a name: a detector or a classifier of torchvision, or any image tower.

    Args:
        weights: a file of its weights; default: the library's own.
        regions: of a detector.
        grid: cells a side that a tower's tokens are averaged to; default: the tokens as they are.
        image_size: side of the square that a tower reads, in pixels; default: what it was trained on.
        pooled: one vector a picture, which a tower gives.

    Raises:
        InputError: unknown name, a network without regions or tokens, or weights that cannot be had.
    """
    if pooled and grid is not None:
        raise InputError(f"--grid {grid} and --pooled: one vector a picture has no cells; give one of them")
    if name in torchvision.models.list_models(torchvision.models.detection):
        if pooled:
            raise InputError(f"--pooled: {name} is a detector, which describes regions; choose a tower")
        return RegionExtractor(_detector(name, weights).to(device), regions)
    if name in torchvision.models.list_models(torchvision.models):
        name = f"torchvision:{name}"
    tower = build_image_tower(name, image_size, weights, pooled=pooled, option="--weights")
    return TokenExtractor(tower.eval().to(device), grid)


def _detector(name: str, weights: Path | None) -> nn.Module:
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    if not hasattr(network, "roi_heads"):
        raise InputError(f"--model {name}: has no features of single regions; choose a fasterrcnn or maskrcnn network")
    fit_weights(network, read_weights(weights) if weights else fetch_weights(name, "--weights"), name, weights)
    if name in EPS_FREE:  # as torchvision runs these weights
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return network.eval()


class TokenExtractor:
    """Take a tower's tokens of the whole picture, row by row, or average them to `grid` x `grid` cells.

    Of a pooled tower it takes the one vector.
    """

    def __init__(self, tower: ImageTower, grid: int | None) -> None:
        self.tower, self.grid = tower, grid
        self.side = math.isqrt(tower.regions)
        if grid is not None and not 0 < grid <= self.side:
            raise InputError(
                f"--grid {grid}: {tower.name} has {self.side} x {self.side} cells at --image_size {tower.input.size}; "
                "ask for fewer, or for a larger image"
            )
        self.shape = tower.shape if grid is None else (grid * grid, tower.dimensions)
        self.boxes = grid_boxes(1 if tower.pooled else self.shape[0])

    def read(self, path: Path) -> tuple[Tensor, tuple[int, int]]:
        """Decode a picture -> uint8 [3, S, S] and its (width, height)."""
        pixels, size = read_pixels(path, self.tower.input.size)
        return self.tower.input.squeeze(pixels), size

    @torch.inference_mode()
    def __call__(self, inputs: list[Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
        """Extract features of B squares, uint8 [3, S, S], of pictures of these sizes."""
        tokens = self.tower(torch.stack(inputs).to(self.tower.mean.device))
        if self.grid is not None:
            cells = tokens.transpose(1, 2).unflatten(2, (self.side, self.side))
            tokens = adaptive_avg_pool2d(cells, self.grid).flatten(2).transpose(1, 2)
        scale = np.array([(width, height, width, height) for width, height in sizes], dtype=np.float32)
        return BoxedFeatures(tokens.float().cpu().numpy(), scale[:, None] * self.boxes)


class RegionExtractor:
    """Take the `regions` proposals of a detector that most likely hold an object, as its box head describes them.

    As in bottom-up attention (Anderson et al., CVPR 2018), the features belong to the proposed box, not to its
    refinement, and of overlapping boxes of one class the most likely one is kept.
    """

    def __init__(self, network: Any, regions: int) -> None:
        self.network, self.regions = network, regions
        self.device = next(network.parameters()).device
        noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
        self.shape: tuple[int, ...] = (regions, self([noise], [(64, 64)]).features.shape[2])

    def read(self, path: Path) -> tuple[Tensor, tuple[int, int]]:
        """Decode a picture -> float32 [3, height, width] in 0 ... 1, and (width, height)."""
        picture = open_picture(path, upright=True)
        return pil_to_tensor(picture) / 255, picture.size

    @torch.inference_mode()
    def __call__(self, inputs: list[Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
        """Extract regions from pictures and their sizes in pixels."""
        network, heads = self.network, self.network.roi_heads
        images, _ = network.transform([picture.to(self.device) for picture in inputs])
        maps = network.backbone(images.tensors)
        if isinstance(maps, Tensor):
            maps = OrderedDict([("0", maps)])
        proposals, _ = network.rpn(images, maps)
        proposals = [self._enough(boxes, size) for boxes, size in zip(proposals, images.image_sizes, strict=True)]
        features = heads.box_head(heads.box_roi_pool(maps, proposals, images.image_sizes))
        sure, kind = heads.box_predictor(features)[0].softmax(dim=1)[:, 1:].max(dim=1)
        counts = [len(boxes) for boxes in proposals]
        chosen_features, chosen_boxes = [], []
        parts = zip(proposals, features.split(counts), sure.split(counts), kind.split(counts), strict=True)
        for number, (boxes, of_boxes, scores, kinds) in enumerate(parts):
            chosen = self._surest(boxes, scores, kinds)
            (height, width), (own_width, own_height) = images.image_sizes[number], sizes[number]
            scale = boxes.new_tensor([own_width / width, own_height / height]).repeat(2)
            chosen_boxes.append(boxes[chosen] * scale)
            chosen_features.append(of_boxes[chosen])
        return BoxedFeatures(*(torch.stack(rows).float().cpu().numpy() for rows in (chosen_features, chosen_boxes)))

    def _enough(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Fill proposals up to the number of regions with boxes of the whole picture."""
        lacking = max(0, self.regions - len(boxes))
        whole = boxes.new_tensor([0, 0, size[1], size[0]])
        return torch.cat([boxes, whole.expand(lacking, 4)])

    def _surest(self, boxes: Tensor, scores: Tensor, kinds: Tensor) -> Tensor:
        kept = batched_nms(boxes, scores, kinds, NMS_OVERLAP)[: self.regions]
        if len(kept) < self.regions:  # fill up with the surest of those that gave way
            others = scores.clone()
            others[kept] = -1
            kept = torch.cat([kept, others.argsort(descending=True, stable=True)[: self.regions - len(kept)]])
        return kept
