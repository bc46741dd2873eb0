"""HAL as training, evaluation and search see it: VSE++'s network, with a choice of tokenisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from vse.networks import NetworkFolder, scores_are_cosines
from VSEpp_LSEH import network

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.data.loading import Reader

NAME = "HAL"

Tokeniser = Literal["punkt", "ascii-lower", "bytes-repr"]


@dataclass
class NetworkOptions(network.NetworkOptions):
    """The network."""

    tokeniser: Tokeniser = "punkt"
    """How captions are read: bytes-repr as in HAL's original code (see README.md), ascii-lower as in VSE++'s."""


def reader(options: NetworkOptions) -> Reader:
    """Return how HAL reads a data set."""
    from HAL import data
    from vse.nn.towers.plug import with_towers

    read = data.reader(options.crop_size, options.use_restval, options.towers.skip_broken, options.tokeniser)
    return with_towers(read, options.towers, options.use_restval)


def published_options(options: NetworkOptions, saved: Mapping[str, Any], state: Any) -> NetworkOptions:
    """Return the options of a checkpoint of the original code: HAL's reads captions as bytes, VSE++'s does not."""
    own = saved.get("local_alpha") is not None  # only HAL's options hold its constants
    return replace(options, tokeniser="bytes-repr" if own else "punkt")


FOLDER = NetworkFolder(
    NAME,
    NetworkOptions,
    network.build,
    reader,
    bounded=scores_are_cosines,
    resolve=network.resolve,
    published_options=published_options,
)
