"""The CNNs that read pictures for VSE-infinity: ResNets without pooling and head, [B, 3, H, W] -> [B, 2048, h, w]."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.nn.backbones import fetch_weights, fit_weights, read_weights

SOURCES = {
    "detector": ("resnet101", "caffe"),
    "imagenet": ("resnet101", "caffe"),
    "imagenet_res50": ("resnet50", "caffe"),
    "imagenet_res152": ("resnet152", "caffe"),
    "imagenet_resnext": ("resnext101_32x8d", "torchvision"),
    "wsl": ("resnext101_32x8d", "torchvision"),
}
"""Source -> torchvision's name of the network, and the layout that it is built in.

torchvision's ImageNet weights in the Caffe layout are the choice of the original code. They load, but the features
differ from those that the weights were trained for; fine-tuning compensates.
"""

WSL_WEIGHTS = "https://download.pytorch.org/models/ig_resnext101_32x8-c38310e5.pth"
CHANNELS = 2048


def build_backbone(source: str, weights: Path | None = None, pretrained: bool = True) -> nn.Module:
    """Build the CNN of a source, with its weights.

    Args:
        source: one of `SOURCES`.
        weights: a file that takes precedence over `pretrained`: the detector's (`base` and `top`), or a state dict.
            Without it the detector starts at random.
        pretrained: fetch the weights of the other sources.

    Raises:
        InputError: the weights cannot be read or fetched, or are those of another network.
    """
    name, layout = SOURCES[source]
    from torchvision import models  # takes a second to import, and most networks read no pictures

    network = body(models.get_model(name, weights=None))
    if layout == "caffe":
        caffe_layout(network)
    if weights is not None:
        fit_weights(network, without_head(read_backbone(weights)), f"backbone_source {source}", weights)
    elif pretrained and source != "detector":
        fit_weights(network, without_head(fetch(name, source)), source, None)
    return network


def body(network: nn.Module) -> nn.Sequential:
    """Cut a torchvision ResNet behind its last feature map; names stay the same."""
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return nn.Sequential(OrderedDict((name, network.get_submodule(name)) for name in names))


class GridTower(nn.Module):
    """The CNN as an image tower: pixels -> the cells of its last feature map.

    Its BatchNorms always use their pretrained statistics; their scales and shifts are trained.

    Args:
        backbone: ResNet without its head, [B, 3, H, W] -> [B, channels, h, w].
    """

    LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """Read pictures [B, 3, H, W] -> cells [B, h * w, channels], row by row."""
        return self.backbone(pixels).flatten(2).transpose(1, 2)

    def train(self, mode: bool = True) -> GridTower:
        """Set training mode, except for the BatchNorms."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def fix(self, blocks: int) -> None:
        """Freeze the stem and the first `blocks` of the CNN's four blocks; 0 freezes nothing, not even the stem."""
        self.backbone.requires_grad_(True)
        for name in self.LAYERS[: blocks + 2 if blocks else 0]:
            self.backbone.get_submodule(name).requires_grad_(False)


def caffe_layout(network: nn.Module) -> None:
    """Move strides from a block's second convolution to its first, and pool without padding, in place."""
    from torchvision.models.resnet import Bottleneck  # as in `build_backbone`

    network.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
    for block in network.modules():
        if isinstance(block, Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def read_backbone(path: Path) -> dict[str, Tensor]:
    """Read a state dict file, or the original detector's: {"base": the layers up to layer3 by number, "top": layer4}.

    Raises:
        InputError: the file is missing, damaged or of another kind.
    """
    base = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3"}
    with suppress(Exception):  # read_weights reports what is wrong with a file
        content = torch.load(path, map_location="cpu", weights_only=True)
        if {"base", "top"} <= content.keys():
            return {
                ".".join((layers[number], rest)): tensor
                for part, layers in (("base", base), ("top", {"0": "layer4"}))
                for number, _, rest, tensor in ((*key.partition("."), tensor) for key, tensor in content[part].items())
            }
    return read_weights(path)


def fetch(name: str, source: str) -> dict[str, Tensor]:
    """Fetch pretrained weights from the user's cache or the network.

    Raises:
        InputError: the weights cannot be fetched; the message names their file.
    """
    if source != "wsl":
        return fetch_weights(name, "backbone_path")
    try:
        return torch.hub.load_state_dict_from_url(WSL_WEIGHTS, progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as problem:
        raise InputError(
            f"backbone_source wsl: pretrained weights cannot be fetched ({getattr(problem, 'reason', problem)}); get "
            f"{WSL_WEIGHTS.rpartition('/')[2]} on another machine and give it as backbone_path"
        ) from None


def without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the weights of the last linear layer."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
