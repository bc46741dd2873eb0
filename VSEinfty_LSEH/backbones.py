"""The CNNs of `--backbone_source`: ResNets without pooling and head, [B, 3, H, W] -> [B, 2048, H/32, W/32]."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import torch
import torchvision
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
"""Source -> torchvision's name of the network, and whose layout it is built in.

torchvision's ImageNet weights in the Caffe layout are the published code's choice. They load, and the features differ
from those the weights were trained for; fine-tuning makes up for it.
"""
WSL_WEIGHTS = "https://download.pytorch.org/models/ig_resnext101_32x8-c38310e5.pth"
CHANNELS = 2048


def build_backbone(source: str, weights: Path | None = None, pretrained: bool = True) -> nn.Module:
    """The CNN of `--backbone_source` with its weights.

    Args:
        source: one of `SOURCES`.
        weights: `--backbone_path`: the detector's file (`base` and `top`), a state dict for the others; wins over
            `pretrained`. Without it the detector starts at random.
        pretrained: fetch the weights of the other sources.

    Raises:
        InputError: weights that cannot be read or fetched, or of another network.
    """
    name, layout = SOURCES[source]
    network = body(torchvision.models.get_model(name, weights=None))
    if layout == "caffe":
        caffe_layout(network)
    if weights is not None:
        fit_weights(network, without_head(read_backbone(weights)), f"--backbone_source {source}", weights)
    elif pretrained and source != "detector":
        fit_weights(network, without_head(fetch(name, source)), source, None)
    return network


def body(network: nn.Module) -> nn.Sequential:
    """A torchvision ResNet up to its last feature map, under the same names."""
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return nn.Sequential(OrderedDict((name, network.get_submodule(name)) for name in names))


def caffe_layout(network: nn.Module) -> None:
    """Strides on a block's first convolution instead of its second, and a max pooling without padding."""
    network.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
    for block in network.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def read_backbone(path: Path) -> dict[str, Tensor]:
    """A state dict file, or the published detector's: {"base": the layers up to layer3 by number, "top": layer4}."""
    base = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3"}
    with suppress(Exception):  # read_weights says what is wrong with a file
        content = torch.load(path, map_location="cpu", weights_only=True)
        if {"base", "top"} <= content.keys():
            return {
                ".".join((layers[number], rest)): tensor
                for part, layers in (("base", base), ("top", {"0": "layer4"}))
                for number, _, rest, tensor in ((*key.partition("."), tensor) for key, tensor in content[part].items())
            }
    return read_weights(path)


def fetch(name: str, source: str) -> dict[str, Tensor]:
    """Pretrained weights from the user's cache or the network.

    Raises:
        InputError: they cannot be fetched; the message names the file and `--backbone_path`.
    """
    if source != "wsl":
        return fetch_weights(name, "--backbone_path")
    try:
        return torch.hub.load_state_dict_from_url(WSL_WEIGHTS, progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as problem:
        raise InputError(
            f"wsl: pretrained weights cannot be fetched ({getattr(problem, 'reason', problem)}); get "
            f"{WSL_WEIGHTS.rpartition('/')[2]} on another machine and give it with --backbone_path FILE"
        ) from None


def without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
