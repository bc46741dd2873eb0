"""Towers of timm: `timm:vit_base_patch16_224.augreg_in21k`, `timm:swin_base_patch4_window7_224` and many more."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor

from vse.data.decoding import PictureInput
from vse.errors import InputError
from vse.extras import library
from vse.nn.towers.parts import ImageFeatures, Parts

POOLING = ("attn_pool.", "fc_norm.", "head.")


def picture_input(name: str, size: int | None) -> PictureInput:
    """Describe the pictures that the weights of a network were trained on.

    Raises:
        InputError: timm is not installed, or has no such network or weights.
    """
    trained_on = _configuration(name)
    mode = trained_on.interpolation
    return PictureInput(
        size or trained_on.input_size[-1],
        tuple(trained_on.mean),
        tuple(trained_on.std),
        mode if mode == "bilinear" else "bicubic",
    )


def build(name: str, size: int, weights: Path | None, pretrained: bool, option: str) -> Parts:
    """Build the network without its head, for pictures of `size` pixels.

    Args:
        weights: a file of the network's weights as timm or its authors distribute them; wins over `pretrained`.
        pretrained: fetch timm's weights.
        option: the command line's name for `weights`.

    Raises:
        InputError: no map or tokens of features, or weights that cannot be fetched, read or fitted.
    """
    timm = library("timm", f"timm:{name}", "timm")
    trained_on = _configuration(name)
    settings: dict[str, Any] = {}
    if trained_on.fixed_input_size and size != trained_on.input_size[-1]:
        settings["img_size"] = size
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"{weights}: no such weights file; expected the weights of timm:{name}")
        settings["pretrained_cfg_overlay"] = {"file": str(weights)}
    elif pretrained and not trained_on.hf_hub_id:
        raise InputError(f"timm:{name}: timm has no weights of it; give a file of them with {option} FILE")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would report each of many attempts
    try:
        network = timm.create_model(name, pretrained=pretrained or weights is not None, **settings)
    except Exception as problem:  # the hub's client, torch.load and load_state_dict raise what they like
        reason = shorten(f"{type(problem).__name__}: {problem}", 200, placeholder=" ...")
        if weights is not None:
            other = ", or another --image_size" if settings.get("img_size") else ""
            raise InputError(
                f"{weights}: cannot be loaded into timm:{name} ({reason}); give its own weights{other}"
            ) from None
        raise InputError(
            f"timm:{name}: pretrained weights cannot be fetched ({reason}); get model.safetensors of "
            f"{trained_on.hf_hub_id} on another machine and give it with {option} FILE"
        ) from None
    network.reset_classifier(0)  # not at once with num_classes=0, or timm would load what does not fit and only log it
    if not hasattr(network, "group_matcher"):
        raise InputError(f"timm:{name}: timm does not tell its layers; choose a ViT, Swin, ConvNeXt or ResNet")
    groups = timm.models.group_parameters(network, network.group_matcher(coarse=False))
    layers = [list(names) for _, names in sorted(groups.items())]
    if all(name.startswith(POOLING) for name in layers[-1]):
        layers[-2:] = [layers[-2] + layers[-1]]
    return Parts(network, _run, layers, partial(network.set_grad_checkpointing, True), POOLING)


def _configuration(name: str) -> Any:
    timm = library("timm", f"timm:{name}", "timm")
    try:
        configuration = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:
        configuration = None
    if configuration is None:
        raise InputError(f"timm:{name}: timm {timm.__version__} has no such network or weights; see timm.list_models()")
    return configuration


def _run(network: Any, pixels: Tensor) -> ImageFeatures:
    features = network.forward_features(pixels)
    pooled = network.forward_head(features, pre_logits=True)
    if features.ndim == 3:
        return ImageFeatures(features[:, network.num_prefix_tokens :], pooled)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        return ImageFeatures(features.flatten(1, 2), pooled)
    return ImageFeatures(features.flatten(2).transpose(1, 2), pooled)
