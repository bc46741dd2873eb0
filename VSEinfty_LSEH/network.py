"""VSE-infinity as training, evaluation and search see it: its options, and the network that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vse.errors import InputError
from vse.networks import NetworkFolder
from vse.options import DataOptions, EncoderOptions, Switch
from vse.ranges import Positive

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.data.loading import Reader, Text
    from VSEinfty_LSEH.model import VSEinfty

NAME = "VSEinfty"


@dataclass
class NetworkOptions(EncoderOptions):
    """The network."""

    precomp_enc_type: Literal["basic", "backbone"] = "basic"
    """basic: precomputed regions; backbone: pictures, read by a CNN."""
    backbone_source: Literal["detector", "imagenet", "imagenet_res50", "imagenet_res152", "imagenet_resnext", "wsl"] = (
        "detector"
    )
    """Grids: the CNN and what it was trained on (see README.md)."""
    backbone_path: str = ""
    """Grids: file of the CNN's weights; default: random for the detector, downloaded for the others."""
    input_scale_factor: Positive = 1.0
    """Grids: resize pictures to squares of this factor times 256 pixels."""
    text_encoder: Literal["bert", "bigru"] = "bert"
    """bert: word pieces; bigru: words and a GRU in both directions."""
    bert: str = "bert-base-uncased"
    """BERT: a folder in transformers' format, or a name on the Hugging Face Hub or in its cache."""
    no_txtnorm: Switch = False
    """Do not normalise caption embeddings."""
    masked_batchnorm: Switch = False
    """Regions: BatchNorm's statistics ignore the padding of dropped regions (repair)."""


def reader(options: NetworkOptions) -> Reader:
    """Return how VSE-infinity reads a data set."""
    from vse.data.datasets import open_split
    from vse.nn.towers.plug import with_towers
    from VSEinfty_LSEH import data

    open_images = open_split
    if options.precomp_enc_type == "backbone":
        open_images = data.open_grids(options.backbone_source, options.input_scale_factor, options.towers.skip_broken)
    return with_towers(data.reader(open_images, options.text_encoder, options.bert), options.towers)


def build(options: NetworkOptions, image_shape: tuple[int, ...], text: Text, pretrained: bool = True) -> VSEinfty:
    """Build the network that the options describe, for images of this shape and this text.

    Args:
        pretrained: load BERT's and the CNN's weights; False where a checkpoint is loaded next.
    """
    from vse.nn.bert import build_bert
    from vse.nn.towers.plug import plug_image_tower, plug_text_tower
    from vse.nn.towers.tower import ImageTower
    from vse.text.word_pieces import WordPieces
    from VSEinfty_LSEH.backbones import CHANNELS, GridTower, build_backbone
    from VSEinfty_LSEH.data import bert_option
    from VSEinfty_LSEH.model import BertEncoder, GridEncoder, RegionEncoder, TowerEncoder, VSEinfty, WordEncoder

    images: RegionEncoder | GridEncoder
    tower: GridTower | ImageTower | None
    tower, image_shape = plug_image_tower(options.towers, image_shape, pooled=False, pretrained=pretrained)
    captions: BertEncoder | WordEncoder | TowerEncoder
    normalise_images, normalise_captions = not options.no_imgnorm, not options.no_txtnorm
    if options.precomp_enc_type == "backbone":
        weights = Path(options.backbone_path) if options.backbone_path and pretrained else None
        tower = GridTower(build_backbone(options.backbone_source, weights, pretrained))
        images = GridEncoder(CHANNELS, options.embed_size, normalise_images)
    else:
        images = RegionEncoder(image_shape[-1], options.embed_size, normalise_images, options.masked_batchnorm)
    if options.towers.text_tower is not None:
        text_tower = plug_text_tower(options.towers, text, pooled=False, pretrained=pretrained)
        captions = TowerEncoder(text_tower, options.embed_size, normalise_captions)
    elif isinstance(text, WordPieces):
        with bert_option():
            bert = build_bert(text, pretrained)
        captions = BertEncoder(bert, text.shape["hidden_size"], options.embed_size, normalise_captions)
    else:
        captions = WordEncoder(len(text), options.word_dim, options.embed_size, options.num_layers, normalise_captions)
    network = VSEinfty(images, captions)
    network.image_tower = tower
    return network


def resolve(options: NetworkOptions, data: DataOptions) -> NetworkOptions:
    """Return the options as they are.

    Raises:
        InputError: pictures are to be read by two networks.
    """
    if options.precomp_enc_type == "backbone" and options.towers.image_tower is not None:
        raise InputError("--image_tower and --precomp_enc_type backbone: both read pictures; give one of them")
    return options


def bounded(options: NetworkOptions) -> bool:
    """Return whether scores are cosines."""
    return not (options.no_imgnorm or options.no_txtnorm)


def published_options(options: NetworkOptions, saved: Mapping[str, Any], state: Any) -> NetworkOptions:
    """Return the options of a checkpoint of the original code: its text encoder shows in the names of its weights."""
    bert = any(name.removeprefix("module.").startswith("bert.") for name in state[1])
    return replace(options, text_encoder="bert" if bert else "bigru")


FOLDER = NetworkFolder(
    NAME, NetworkOptions, build, reader, bounded=bounded, resolve=resolve, published_options=published_options
)
