"""GSMN as training, evaluation and search see it: its options, and the network that they describe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vse.errors import InputError
from vse.networks import NetworkFolder
from vse.options import DataOptions, EncoderOptions, Maybe, Switch
from vse.ranges import AtLeast1, Gibibytes, Positive

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from GSMN_LSEH.model import GSMN
    from vse.data.loading import Reader, Text

NAME = "GSMN"


@dataclass
class NetworkOptions(EncoderOptions):
    """The network."""

    bi_gru: bool = False
    """Read captions in both directions (the authors do)."""
    no_txtnorm: Switch = False
    """Do not normalise words."""
    lambda_softmax: Positive = 9.0
    """Factor of the attention logits (the authors use 20 for Flickr30K, 10 for MS-COCO)."""
    num_block: AtLeast1 = 16
    """Blocks of features that are compared separately; the size of a matching vector."""
    feat_dim: Maybe[AtLeast1] = None
    """The original code's other name for --num_block; refused if they differ."""
    hid_dim: AtLeast1 = 32
    """Size of a convolved matching vector, a multiple of 8."""
    out_dim: AtLeast1 = 1
    """Outputs of the read-out, averaged."""
    is_sparse: Switch = False
    """Words are neighbours if a parse connects them; default: all words of a caption are."""
    graph: Literal["reference", "propagate"] = "reference"
    """reference: as in the original code, where no node sees another; propagate: neighbours are mixed."""
    legacy_boxes: Switch = False
    """Boxes shrink at every access and belong to other images in evaluation, as in the original code."""
    memory_budget: Maybe[Gibibytes] = None
    """GB that the temporaries of one block of images x captions may take; default: 0.25, on a GPU at most an eighth of
    its free memory."""


def resolve(options: NetworkOptions, data: DataOptions) -> NetworkOptions:
    """Make `--feat_dim` what it means, `--num_block`.

    Raises:
        InputError: they differ, or flags that towers exclude are given.
    """
    if options.legacy_boxes and options.towers.image_tower is not None:
        raise InputError("--legacy_boxes: an image tower's patches have boxes of their own; leave the flag out")
    if options.is_sparse and options.towers.text_tower is not None:
        raise InputError(
            "--is_sparse: a parse connects words, and a text tower reads pieces of words; leave the flag out"
        )
    if options.feat_dim not in (None, options.num_block):
        raise InputError(f"--feat_dim {options.feat_dim}: is --num_block, which is {options.num_block}; leave it out")
    return replace(options, feat_dim=options.num_block)


def reader(options: NetworkOptions) -> Reader:
    """Return how GSMN reads a data set."""
    from GSMN_LSEH import data
    from vse.nn.towers.plug import with_towers

    read = data.reader(
        options.graph == "reference",
        options.is_sparse,
        options.legacy_boxes,
        boxes=options.towers.image_tower is None,  # a tower knows the boxes of its patches
    )
    return with_towers(read, options.towers)


def build(options: NetworkOptions, image_shape: tuple[int, ...], text: Text, pretrained: bool = True) -> GSMN:
    """Build the network that the options describe, for images of this shape: (regions, features), or pixels.

    Raises:
        InputError: options that contradict each other.
    """
    from GSMN_LSEH.model import GSMN
    from vse.nn.towers.plug import plug_image_tower, plug_word_states

    tower, image_shape = plug_image_tower(options.towers, image_shape, pooled=False, pretrained=pretrained)
    try:
        network = GSMN(
            len(text),
            image_shape[-1],
            options.word_dim,
            options.embed_size,
            options.num_layers,
            options.bi_gru,
            options.no_imgnorm,
            options.no_txtnorm,
            options.lambda_softmax,
            options.num_block,
            options.hid_dim,
            options.out_dim,
            options.is_sparse,
            options.graph,
            None if options.memory_budget is None else int(options.memory_budget * 2**30),
        )
    except InputError as problem:  # the network names its arguments, which are flags here
        raise InputError(f"--{problem}") from None
    network.image_tower = tower
    if options.towers.text_tower is not None:
        size, normalise = options.embed_size, not options.no_txtnorm
        network.caption_encoder = plug_word_states(options.towers, text, size, normalise, pretrained)
    return network


FOLDER = NetworkFolder(
    NAME, NetworkOptions, build, reader, pairwise=True, bounded=lambda options: False, resolve=resolve
)
