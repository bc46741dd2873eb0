"""A training step of 128 pairs launches no more kernels than stated here."""

from __future__ import annotations

import pytest

from tests.cuda.launches import second_step

MOST = {"sgr": 900, "saf": 1_150, "gsmn": 850, "gsmn-sparse": 900, "vsrn": 1_200}
"""Kernels a step; a tenth more than today."""
BLOCKS = ("sgr", "saf", "gsmn", "gsmn-sparse")
"""Networks whose layers and memory decide on the number of blocks, and so of kernels."""


@pytest.mark.parametrize("network", MOST)
def test_a_step_of_small_layers_launches_few_kernels(network: str) -> None:
    assert second_step(network).launches <= MOST[network]


@pytest.mark.cuda_whole
@pytest.mark.parametrize("network", BLOCKS)
def test_a_step_of_published_size_launches_few_kernels(network: str) -> None:
    assert second_step(network, published=True).launches <= MOST[network]
