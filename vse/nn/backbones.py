"""Pretrained CNNs of torchvision: the network without its head, and weights from a file or torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.extras import library
from vse.nn.encoders import l2norm


def cnn_backbone(name: str, weights: Path | None = None, pretrained: bool = True) -> tuple[nn.Module, int]:
    """Build a torchvision classifier without its last linear layer, [B, 3, H, W] -> [B, D]; return it and D.

    VGG19 so gives 4,096 values after the classifier's second ReLU, ResNet-152 its 2,048 pooled ones (VSE++). The state
    dict has torchvision's names, without the head's.

    Args:
        name: as torchvision has it: vgg19, resnet152, resnet50, ...
        weights: a state dict file of this network, with or without head; wins over `pretrained`.
        pretrained: fetch torchvision's ImageNet weights (the first version of them, as published).

    Raises:
        InputError: unknown name, no last linear layer, or weights that cannot be fetched, read or fitted.
    """
    from torchvision import models  # takes a second to import, and most networks read no pictures

    if name not in models.list_models(models):
        raise InputError(
            f"--cnn_type {name}: torchvision has no such classification network; vgg19 and resnet152 are published"
        )
    network = models.get_model(name, weights=None)
    linear = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear or isinstance(network, (models.Inception3, models.GoogLeNet)):
        raise InputError(
            f"--cnn_type {name}: does not end in one linear layer; choose vgg19, resnet152 or another of that form"
        )
    head, last = linear[-1]
    network.set_submodule(head, nn.Identity())
    if weights is not None or pretrained:
        state = read_weights(weights) if weights is not None else fetch_weights(name)
        fit_weights(
            network, {key: value for key, value in state.items() if not key.startswith(f"{head}.")}, name, weights
        )
    return network, last.in_features


class CnnTower(nn.Module):
    """A CNN without its head as an image tower: pixels -> one L2-normalised vector (VSE++).

    As in the original code, a frozen CNN stays in training mode: its BatchNorms follow the pictures, its dropout drops.

    Args:
        cnn: [B, 3, H, W] -> [B, D].
        finetune: train its weights.
    """

    def __init__(self, cnn: nn.Module, finetune: bool) -> None:
        super().__init__()
        self.cnn = cnn.requires_grad_(finetune)

    def forward(self, pixels: Tensor) -> Tensor:
        """Read pictures [B, 3, H, W] -> [B, D]."""
        return l2norm(self.cnn(pixels))


def pretrained_version(name: str) -> Any:
    """torchvision's entry for the first ImageNet weights of a network, which the original code took."""
    from torchvision import models  # as in `cnn_backbone`

    versions = models.get_model_weights(name).__members__
    return versions.get("IMAGENET1K_V1") or versions["DEFAULT"]


def fetch_weights(name: str, option: str = "--cnn_weights") -> dict[str, Tensor]:
    """torchvision's pretrained weights of a network, from its cache or the network.

    Raises:
        InputError: they cannot be fetched; the message names the file and `option`.
    """
    chosen = pretrained_version(name)
    try:
        return chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as problem:
        file = chosen.url.rpartition("/")[2]
        reason = getattr(problem, "reason", problem)
        raise InputError(
            f"{name}: pretrained weights cannot be fetched ({reason}); get torchvision's {file} on another machine and "
            f"give it with {option} FILE"
        ) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from torch.save, perhaps under `state_dict` or `model`, perhaps with `module.`; or safetensors.

    Nothing in the file can run.

    Raises:
        InputError: missing, damaged, or something else.
    """
    safetensors = library("safetensors.torch", str(path), "timm") if path.suffix == ".safetensors" else None
    try:
        content = (
            safetensors.load_file(path) if safetensors else torch.load(path, map_location="cpu", weights_only=True)
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such weights file; expected a state dict as torch.save writes it") from None
    except Exception:  # of a damaged file, the two libraries raise what they like
        raise InputError(
            f"{path}: damaged, or Python objects besides tensors; expected a state dict, use another copy"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise InputError(
            f"{path}: holds no state dict; expected names with tensors, as torch.save(network.state_dict())"
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def fit_weights(network: nn.Module, state: Mapping[str, Tensor], name: str, path: Path | None) -> None:
    """Load a state dict whose names must be the network's; batch counters may be missing (torch before 0.4.1).

    Raises:
        InputError: names or shapes differ.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    for kind, keys in (("lacks", missing), ("does not know", unknown), ("has another shape for", wrong)):
        if keys:
            subject = f"{path}: the file" if kind == "lacks" else f"{path}: {name}"
            raise InputError(f"{subject} {kind} {keys[0]} and {len(keys) - 1} more; expected the weights of {name}")
    network.load_state_dict(state, strict=False)
