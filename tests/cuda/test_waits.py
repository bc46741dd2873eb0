"""The host does not wait for the GPU within a training step, or at most as often as stated here."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from tests.cuda.pretend_gpu import pretend_gpu
from tests.cuda.runs import NETWORKS, ROOT, train, write_data
from vse.training import loop

WAITS = {
    "sgr": 1,  # how many pairs the objective selects decides on the blocks of the second pass
    "gsmn-sparse": 1,  # how many edges the parses of a batch have
    "gsmn-propagate-sparse": 1,
    "vseinfty-bert": 1,  # transformers looks whether the attention mask masks anything
}
"""Waits a step; none for the networks that are not listed."""

FAST = ("vsepp", "vsrn", "sgr")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("pretend"))


@pytest.mark.parametrize(
    "network", [pytest.param(name, marks=() if name in FAST else pytest.mark.cuda_whole) for name in NETWORKS]
)
def test_a_step_waits_no_more_than_stated(network: str, data: Path, bert_folder: Path, tmp_path: Path) -> None:
    take_step, waits = loop.take_step, []

    def counted(*given: object) -> object:
        seen.syncs.clear()
        result = take_step(*given)  # type: ignore[arg-type]
        waits.append(dict(seen.syncs))
        return result

    with pretend_gpu(ROOT) as seen, mock.patch.object(loop, "take_step", counted):
        train(network, data, tmp_path / "run", "--num_epochs 2 --ema 0.9", bert_folder)
    assert waits
    for found in waits:
        assert sum(found.values()) <= WAITS.get(network, 0), found
