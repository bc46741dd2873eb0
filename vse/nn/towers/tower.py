"""Towers as modules: pixels -> local features or one vector, ids -> states or one vector, trained as far as asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vse.data.boxes import grid
from vse.data.decoding import PictureInput
from vse.errors import InputError
from vse.nn.towers import from_lite, from_timm, from_transformers
from vse.nn.towers.parts import Parts
from vse.nn.transfer import send
from vse.options import Trained

KINDS = "torchvision:NAME, timm:NAME, hf:FOLDER or efficientnet_lite0, lite1, lite2"


class Tower(nn.Module):
    """A pretrained network of which the last blocks, all or nothing is trained.

    What is frozen stays in eval mode, and BatchNorm always uses the statistics that the network came with; its scale
    and shift are trained with their block. So neither the batch nor the number of processes changes what is learned.
    State-dict names are `network.` and the library's.

    Args:
        name: for messages.
        trained: how much is trained.
        pooled: give one vector an item, not one for each token; parameters of the other output are frozen.
        checkpointing: compute the blocks once more in the backward pass rather than keep what they computed.

    Attributes:
        rate: the share of the learning rate that the last block gets; 1 until it is set.
        layer_decay: the factor on that rate from one block to the one before it; 1 until it is set.

    Raises:
        InputError: more blocks to train than there are.
    """

    def __init__(self, name: str, parts: Parts, trained: Trained, pooled: bool, checkpointing: bool) -> None:
        super().__init__()
        self.name, self.pooled = name, pooled
        self.rate, self.layer_decay = 1.0, 1.0
        self.network, self.run, self.layers = parts.network, parts.run, parts.layers
        blocks = len(self.layers) - 1
        if isinstance(trained, int) and not 0 <= trained <= blocks:
            raise InputError(f"{name}: has {blocks} blocks, not {trained}, that can be trained apart; give none or all")
        opened = {"none": [], "all": self.layers}[trained] if isinstance(trained, str) else self.layers[-trained:]
        names = {name for layer in opened for name in layer} if trained != 0 else set()
        idle = parts.unused if pooled else (*parts.unused, *parts.pooling)
        for key, parameter in self.network.named_parameters():
            parameter.requires_grad_(key in names and not key.startswith(idle))
        if checkpointing and names:
            if not blocks:
                raise InputError(f"{name}: its blocks are not known; leave --gradient_checkpointing out")
            parts.checkpoint()

    def train(self, mode: bool = True) -> Tower:
        """Set training mode, but for what is frozen and for BatchNorm."""
        super().train(mode)
        for module in self.network.modules():
            frozen = not any(parameter.requires_grad for parameter in module.parameters())
            if isinstance(module, _BatchNorm) or (frozen and next(module.parameters(), None) is not None):
                module.eval()
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            self.network.eval()
        return self

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """List the trained parameters for an optimizer, in one group for each layer from the stem on."""
        parameters = dict(self.network.named_parameters())
        groups = []
        for depth, layer in enumerate(reversed(self.layers)):
            trained = [parameters[name] for name in layer if parameters[name].requires_grad]
            if trained:
                groups.append({"params": trained, "lr": learning_rate * self.rate * self.layer_decay**depth})
        return groups[::-1]


class ImageTower(Tower):
    """Pixels [B, 3, S, S] -> local features [B, R, D], the cells of a square grid row by row, or pooled [B, D].

    Args:
        picture_input: size and normalisation of the pixels.

    Attributes:
        boxes: [R, 4] x1 y1 x2 y2 of the cells, in 0 ... 1 of the picture's width and height, float32.
    """

    mean: Tensor
    std: Tensor
    boxes: Tensor

    def __init__(
        self,
        name: str,
        parts: Parts,
        picture_input: PictureInput,
        trained: Trained = "none",
        pooled: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(name, parts, trained, pooled, checkpointing)
        self.input = picture_input
        self.register_buffer("mean", torch.tensor(picture_input.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(picture_input.std)[:, None, None], persistent=False)
        with torch.no_grad():
            self.eval()
            like = next(self.network.parameters())
            pixels = torch.zeros(1, 3, picture_input.size, picture_input.size, device=like.device)
            try:
                tokens = self.run(self.network, pixels).tokens
            except (RuntimeError, ValueError, AssertionError) as problem:
                reason = str(problem).strip().partition("\n")[0]
                raise InputError(
                    f"{name}: cannot read pictures of {picture_input.size} pixels ({reason}); give another --image_size"
                ) from None
            self.train()
        self.regions, self.dimensions = tokens.shape[1:]
        if math.isqrt(self.regions) ** 2 != self.regions:
            raise InputError(f"{name}: gives {self.regions} tokens, which are no square grid; choose another tower")
        self.register_buffer("boxes", torch.from_numpy(grid(self.regions)), persistent=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one picture's features: (R, D), or (D,) if pooled."""
        return (self.dimensions,) if self.pooled else (self.regions, self.dimensions)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S], uint8 as decoded or float32 normalised already, -> [B, R, D] or [B, D]."""
        if pixels.dtype == torch.uint8:
            pixels = (pixels / 255 - self.mean) / self.std
        features = self.run(self.network, pixels)
        return features.pooled if self.pooled else features.tokens


class TextTower(Tower):
    """Ids [B, T] -> the states of the pieces [B, T, D], or pooled [B, D]."""

    def __init__(
        self, name: str, parts: Parts, trained: Trained = "none", pooled: bool = False, checkpointing: bool = False
    ) -> None:
        super().__init__(name, parts, trained, pooled, checkpointing)
        self.dimensions = int(self.network.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.train()

    @staticmethod
    def inside(ids: Tensor, lengths: Tensor) -> Tensor:
        """[B, T] bool, which of the ids [B, T] are a caption's and no padding."""
        return torch.arange(ids.shape[1], device=ids.device) < send(lengths, ids.device)[:, None]

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """[B, T] ids, [B] lengths -> [B, T, D], exactly 0 at padding, or [B, D]."""
        inside = self.inside(ids, lengths)
        features = self.run(self.network, ids, inside)
        if self.pooled:
            return features.pooled
        return features.states.masked_fill(~inside[..., None], 0.0)


def picture_input(name: str, size: int | None = None) -> PictureInput:
    """Describe the pictures that an image tower reads, without building it.

    Args:
        size: side of the square in pixels; default: what its weights were trained on.

    Raises:
        InputError: no such tower, or a library is missing.
    """
    library, _, rest = name.partition(":")
    if library == "torchvision":
        from vse.nn.towers import from_torchvision

        return from_torchvision.picture_input(rest, size)
    if library == "timm":
        return from_timm.picture_input(rest, size)
    if library == "hf":
        return from_transformers.picture_input(rest, size)
    if name in from_lite.SIZES:
        return from_lite.picture_input(name, size)
    raise InputError(f"{name}: no such image tower; expected {KINDS}")


def build_image_tower(
    name: str,
    size: int | None = None,
    weights: Path | None = None,
    *,
    trained: Trained = "none",
    pooled: bool = False,
    checkpointing: bool = False,
    pretrained: bool = True,
    option: str = "--tower_weights",
) -> ImageTower:
    """Build an image tower: `torchvision:NAME`, `timm:NAME`, `hf:FOLDER` or `efficientnet_lite0`, `1`, `2`.

    Args:
        size: side of the square it reads, in pixels; default: what its weights were trained on.
        weights: a file of its weights; default: the library's own, fetched if they are not in its cache.
        pretrained: with weights; False where a checkpoint brings them.
        option: the command line's name for `weights`.

    Raises:
        InputError: no such tower, a library is missing, or weights that cannot be fetched, read or fitted.
    """
    reads = picture_input(name, size)
    library, _, rest = name.partition(":")
    if library == "torchvision":
        from vse.nn.towers import from_torchvision

        parts = from_torchvision.build(rest, reads.size, weights, pretrained, option)
    elif library == "timm":
        parts = from_timm.build(rest, reads.size, weights, pretrained, option)
    elif library == "hf":
        parts = from_transformers.build_picture_tower(rest, reads.size, weights, pretrained)
    else:
        parts = from_lite.build(name, reads.size, weights, pretrained)
    return ImageTower(name, parts, reads, trained, pooled, checkpointing)


def text_folder(name: str) -> str:
    """Return the folder, or the name on the hub, of the text tower `hf:FOLDER`.

    Raises:
        InputError: the name has another form.
    """
    library, _, folder = name.partition(":")
    if library != "hf":
        raise InputError(f"{name}: no such text tower; expected hf:FOLDER of a BERT, CLIP or SigLIP")
    return folder


def build_text_tower(
    name: str,
    *,
    trained: Trained = "none",
    pooled: bool = False,
    checkpointing: bool = False,
    pretrained: bool = True,
    config: Mapping[str, Any] | None = None,
) -> TextTower:
    """Build the text tower `hf:FOLDER` or `hf:NAME` on the Hugging Face hub.

    Args:
        pretrained: with weights; False where a checkpoint brings them.
        config: what a checkpoint says of its shape, so that the folder is not needed; only without `pretrained`.

    Raises:
        InputError: no such tower, a library is missing, or weights that cannot be fetched, read or fitted.
    """
    parts = from_transformers.build_text_tower(text_folder(name), pretrained, config)
    return TextTower(name, parts, trained, pooled, checkpointing)
