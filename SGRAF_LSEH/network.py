"""SGRAF as training, evaluation and search see it: its options, and the network that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vse.networks import NetworkFolder
from vse.options import EncoderOptions, Maybe, Switch
from vse.ranges import AtLeast1, Gibibytes

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from SGRAF_LSEH.model import SGRAF
    from vse.data.loading import Reader, Text

NAME = "SGRAF"


@dataclass
class NetworkOptions(EncoderOptions):
    """The network."""

    module_name: Literal["SGR", "SAF"] = "SGR"
    """SGR reasons over a graph of word-region similarities, SAF filters them."""
    sim_dim: AtLeast1 = 256
    """Size of a similarity vector."""
    bi_gru: bool = True
    """Read captions in both directions (in the original code the flag turns it off; here --no_bi_gru does)."""
    no_txtnorm: Switch = False
    """Do not normalise words."""
    sgr_step: AtLeast1 = 3
    """SGR: steps of graph reasoning."""
    memory_budget: Maybe[Gibibytes] = None
    """GB that the temporaries of one block of images x captions may take; default: 0.25, on a GPU at most an eighth of
    its free memory."""


def reader(options: NetworkOptions) -> Reader:
    """Return how SGRAF reads a data set."""
    from SGRAF_LSEH import data
    from vse.nn.towers.plug import with_towers

    return with_towers(data.READER, options.towers)


def build(options: NetworkOptions, image_shape: tuple[int, ...], text: Text, pretrained: bool = True) -> SGRAF:
    """Build the network that the options describe, for images of this shape: (regions, features), or pixels."""
    from SGRAF_LSEH.model import SGRAF
    from vse.nn.towers.plug import plug_image_tower, plug_word_states

    tower, image_shape = plug_image_tower(options.towers, image_shape, pooled=False, pretrained=pretrained)
    network = SGRAF(
        options.module_name,
        len(text),
        image_shape[0],
        image_shape[1],
        options.word_dim,
        options.embed_size,
        options.sim_dim,
        options.num_layers,
        options.bi_gru,
        options.no_imgnorm,
        options.no_txtnorm,
        options.sgr_step,
        None if options.memory_budget is None else int(options.memory_budget * 2**30),
    )
    network.image_tower = tower
    if options.towers.text_tower is not None:
        size, normalise = options.embed_size, not options.no_txtnorm
        network.caption_encoder = plug_word_states(options.towers, text, size, normalise, pretrained)
    return network


FOLDER = NetworkFolder(NAME, NetworkOptions, build, reader, pairwise=True)
