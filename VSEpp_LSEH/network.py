"""VSE++ as training, evaluation and search see it: its options, and the network that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vse.errors import InputError
from vse.networks import NetworkFolder, scores_are_cosines
from vse.options import DataOptions, EmbeddingOptions, Maybe, Switch
from vse.ranges import AtLeast1

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.data.loading import Reader, Text
    from VSEpp_LSEH.model import VSEpp

NAME = "VSEpp"


@dataclass
class NetworkOptions(EmbeddingOptions):
    """The network."""

    cnn_type: str = "vgg19"
    """Pictures: torchvision network that reads them; the original code has vgg19 and resnet152."""
    cnn_weights: Maybe[str] = None
    """Pictures: state dict file of that network; default: torchvision's ImageNet weights."""
    finetune: Switch = False
    """Pictures: train the CNN as well."""
    crop_size: AtLeast1 = 224
    """Pictures: side of the training crop in pixels; evaluation always crops 224."""
    use_restval: Switch = False
    """Pictures: also train on MS-COCO's restval images."""


def resolve(options: NetworkOptions, data: DataOptions) -> NetworkOptions:
    """Return the options as they are.

    Raises:
        InputError: pictures are to be read by two networks.
    """
    if options.towers.image_tower is not None:
        for name, instead in (("finetune", "image_tower_train"), ("cnn_weights", "tower_weights")):
            if getattr(options, name):
                raise InputError(f"--{name} and --image_tower: give --{instead}; --{name} is for --cnn_type")
    return options


def reader(options: NetworkOptions) -> Reader:
    """Return how VSE++ reads a data set."""
    from vse.nn.towers.plug import with_towers
    from VSEpp_LSEH import data

    read = data.reader(options.crop_size, options.use_restval, options.towers.skip_broken)
    return with_towers(read, options.towers, options.use_restval)


def build(options: NetworkOptions, image_shape: tuple[int, ...], text: Text, pretrained: bool = True) -> VSEpp:
    """Build the network that the options describe, for images of this shape: features, or pixels [3, S, S].

    Args:
        pretrained: start a CNN from its ImageNet weights; False where a checkpoint is loaded next.
    """
    from vse.nn.backbones import CnnTower, cnn_backbone
    from vse.nn.towers.plug import plug_caption_embedding, plug_image_tower
    from vse.nn.towers.tower import ImageTower
    from VSEpp_LSEH.model import VSEpp

    tower: CnnTower | ImageTower | None
    tower, image_shape = plug_image_tower(options.towers, image_shape, pooled=True, pretrained=pretrained)
    if len(image_shape) == 3:
        weights = Path(options.cnn_weights) if options.cnn_weights and pretrained else None
        cnn, features = cnn_backbone(options.cnn_type, weights, pretrained)
        image_shape, tower = (features,), CnnTower(cnn, options.finetune)
    network = VSEpp(
        image_shape,
        len(text),
        options.word_dim,
        options.embed_size,
        options.num_layers,
        options.measure,
        options.use_abs,
        options.no_imgnorm,
    )
    network.image_tower = tower
    if options.towers.text_tower is not None:
        size, absolute = options.embed_size, options.use_abs
        network.caption_encoder = plug_caption_embedding(options.towers, text, size, absolute, pretrained)
    return network


FOLDER = NetworkFolder(NAME, NetworkOptions, build, reader, bounded=scores_are_cosines, resolve=resolve)
