"""What all adapters share: parameters by layer, the blocks of a transformer, and blocks that are computed again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vse.nn.towers.parts import checkpoint_blocks, layers_of, repeated_blocks


class Block(nn.Module):
    """A block with dropout that counts its forward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.dropout, self.calls = nn.Linear(4, 4), nn.Dropout(0.5), 0

    def forward(self, inputs: Tensor, scale: float = 1.0) -> Tensor:
        self.calls += 1
        outputs: Tensor = self.dropout(self.linear(inputs)) * scale
        return outputs


class Transformer(nn.Module):
    """A stem, two stages of blocks with what lies between and after them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4, bias=False)
        self.stages = nn.ModuleList()
        for _ in range(2):
            stage: Any = Block()
            stage.blocks = nn.ModuleList([Block(), Block()])
            self.stages.append(stage)
        self.norm = nn.LayerNorm(4)


def test_the_innermost_blocks_are_found_in_order() -> None:
    network = Transformer()
    assert repeated_blocks(network) == [block for stage in network.stages for block in stage.blocks]


def test_modules_of_torch_in_a_list_are_no_blocks() -> None:
    network = nn.Module()
    network.norms = nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4)])
    assert repeated_blocks(network) == []


def test_what_follows_a_block_counts_with_it() -> None:
    network = nn.Sequential(nn.Linear(4, 4), Block(), nn.LayerNorm(4), Block(), nn.LayerNorm(4))
    assert layers_of(network, [network[1], network[3]]) == [
        ["0.weight", "0.bias"],
        ["1.linear.weight", "1.linear.bias", "2.weight", "2.bias"],
        ["3.linear.weight", "3.linear.bias", "4.weight", "4.bias"],
    ]


def test_a_block_computed_again_repeats_its_dropout() -> None:
    block, inputs = Block(), torch.ones(2, 4)
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            checkpoint_blocks([block])
        torch.manual_seed(0)
        block.zero_grad()
        block(inputs, scale=3.0).sum().backward()
        gradients.append(block.linear.weight.grad)
    assert torch.equal(*gradients)
    assert block.calls == 1 + 2
