"""What an adapter makes of a library's network, and what all adapters share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class ImageFeatures(NamedTuple):
    """Of B pictures: tokens [B, R, D], the cells of a square grid row by row, and one vector each, pooled [B, D]."""

    tokens: Tensor
    pooled: Tensor


class TextFeatures(NamedTuple):
    """Of B captions: states [B, T, D], one for each piece, and one vector each, pooled [B, D]."""

    states: Tensor
    pooled: Tensor


@dataclass
class Parts:
    """A library's network and how it is run.

    Args:
        network: its state dict has the library's names.
        run: (network, inputs) -> `ImageFeatures` or `TextFeatures`; inputs are normalised pixels [B, 3, S, S], or ids
            [B, T] and their mask [B, T].
        layers: names of the parameters by layer: the stem, then block after block; what follows the last block counts
            with it.
        checkpoint: make every block keep its inputs only and compute the rest again in the backward pass.
        pooling: begins of the names of parameters that only `pooled` depends on.
        unused: begins of the names of parameters that nothing depends on.
    """

    network: nn.Module
    run: Callable[..., Any]
    layers: list[list[str]]
    checkpoint: Callable[[], None]
    pooling: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def layers_of(network: nn.Module, blocks: list[nn.Module]) -> list[list[str]]:
    """Names of the parameters by layer, in the order in which the network registers them.

    The stem is what comes before the first block; what comes after a block counts with it.
    """
    block_of = {parameter: place for place, block in enumerate(blocks, 1) for parameter in block.parameters()}
    layers: list[list[str]] = [[] for _ in range(len(blocks) + 1)]
    layer = 0
    for name, parameter in network.named_parameters():
        layer = block_of.get(parameter, layer)
        layers[layer].append(name)
    return layers


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """List the blocks of a transformer: the innermost entries of its `ModuleList`s, in order."""
    entries = [
        entry
        for module in network.modules()
        if isinstance(module, nn.ModuleList)
        for entry in module
        if not type(entry).__module__.startswith("torch.")
    ]
    return [entry for entry in entries if not any(isinstance(inner, nn.ModuleList) for inner in entry.modules())]


def checkpoint_blocks(blocks: Iterable[nn.Module]) -> None:
    """Make blocks keep their inputs only and compute the rest again in the backward pass, dropout included."""
    for block in blocks:
        block.forward = partial(_recomputed, block)


def _recomputed(block: nn.Module, *inputs: Any, **settings: Any) -> Any:
    return checkpoint(partial(type(block).forward, block), *inputs, use_reentrant=False, **settings)
