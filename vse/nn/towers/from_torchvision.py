"""Towers of torchvision: vision transformers, Swin, and any CNN that ends in one map of features."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import EncoderBlock, interpolate_embeddings

from vse.data.decoding import PictureInput
from vse.errors import InputError
from vse.nn.backbones import fetch_weights, fit_weights, pretrained_version, read_weights
from vse.nn.towers.parts import ImageFeatures, Parts, checkpoint_blocks, layers_of

BLOCKS = (
    EncoderBlock,
    models.resnet.BasicBlock,
    models.resnet.Bottleneck,
    models.swin_transformer.SwinTransformerBlock,
    models.convnext.CNBlock,
    models.efficientnet.MBConv,
    models.efficientnet.FusedMBConv,
    models.mobilenetv2.InvertedResidual,
    models.mobilenetv3.InvertedResidual,
    models.regnet.ResBottleneckBlock,
)
"""Residual blocks: what layer-wise learning rates, partial training and gradient checkpointing count in."""

BODIES = {
    models.ResNet: ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"),
    models.SwinTransformer: ("features", "norm", "permute"),
    models.RegNet: ("stem", "trunk_output"),
    models.ShuffleNetV2: ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),
    models.MNASNet: ("layers",),
}
"""The modules before pooling and head, of networks in which they are not called `features`."""


def picture_input(name: str, size: int | None) -> PictureInput:
    """Describe the pictures that the ImageNet weights of a network were trained on.

    Raises:
        InputError: torchvision has no classification network of this name.
    """
    if name not in models.list_models(torchvision.models):
        raise InputError(
            f"torchvision:{name}: torchvision has no such classification network; try vit_b_16, swin_b or resnet50"
        )
    trained_on = pretrained_version(name).transforms()
    return PictureInput(
        size or trained_on.crop_size[0],
        tuple(trained_on.mean),
        tuple(trained_on.std),
        trained_on.interpolation.value,
    )


def build(name: str, size: int, weights: Path | None, pretrained: bool, option: str) -> Parts:
    """Build the network without its head, for pictures of `size` pixels.

    Args:
        weights: a state dict file of the network, with or without head; wins over `pretrained`.
        pretrained: fetch torchvision's ImageNet weights.
        option: the command line's name for `weights`.

    Raises:
        InputError: the network has no map of features, or weights that cannot be fetched, read or fitted.
    """
    network = models.get_model(name, weights=None, **({"image_size": size} if name.startswith("vit_") else {}))
    transformer = isinstance(network, models.VisionTransformer)
    names = set(network.state_dict())
    body = _without_heads(network) if transformer else cnn_body(network, name)
    if weights is not None or pretrained:
        state = read_weights(weights) if weights is not None else fetch_weights(name, option)
        head = names - set(body.state_dict())
        state = OrderedDict((key, value) for key, value in state.items() if key not in head)
        if transformer and state.get("encoder.pos_embedding", torch.empty(0)).ndim == 3:
            state = interpolate_embeddings(size, network.patch_size, state)
        fit_weights(body, state, f"torchvision:{name}", weights)
    blocks = [module for module in body.modules() if isinstance(module, BLOCKS)]
    run = _run_transformer if transformer else run_cnn
    return Parts(body, run, layers_of(body, blocks), partial(checkpoint_blocks, blocks))


def cnn_body(network: nn.Module, name: str) -> nn.Sequential:
    """Cut a CNN after its last map of features [B, D, h, w], under the same names.

    Raises:
        InputError: the network has another form.
    """
    parts = BODIES.get(type(network), ("features",))
    if not all(hasattr(network, part) for part in parts):
        raise InputError(f"torchvision:{name}: does not end in one map of features; choose a ResNet, Swin or ViT")
    modules = [(part, network.get_submodule(part)) for part in parts]
    if isinstance(network, models.DenseNet):
        modules.append(("relu", nn.ReLU()))
    return nn.Sequential(OrderedDict(modules))


def run_cnn(body: nn.Module, pixels: Tensor) -> ImageFeatures:
    """Return the cells of the last map and their mean."""
    cells = body(pixels).flatten(2).transpose(1, 2)
    return ImageFeatures(cells, cells.mean(dim=1))


def _without_heads(network: nn.Module) -> nn.Module:
    del network.heads
    return network


def _run_transformer(network: Any, pixels: Tensor) -> ImageFeatures:
    patches = network._process_input(pixels)
    states = network.encoder(torch.cat([network.class_token.expand(len(pixels), -1, -1), patches], dim=1))
    return ImageFeatures(states[:, 1:], states[:, 0])
