"""Every network and objective trains, resumes and is evaluated on a pretend GPU: nothing is left on the CPU.

The fast part is one run for each folder; `pytest -m cuda_whole tests/cuda` runs all of it, which takes minutes.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.cuda.pretend_gpu import pretend_gpu
from tests.cuda.runs import NETWORKS, ROOT, evaluate, train, write_data
from vse.data.batches import PairDataset
from vse.losses.table import OBJECTIVES
from vse.training import loop

FAST = {("hal-bank", "float32"), ("vsrn", "bf16"), ("vseinfty-bigru", "bf16"), ("sgr", "bf16"), ("gsmn", "bf16")}
FACETED = ("vsepp", "vsrn-plain", "vseinfty-bigru", "sgr", "saf", "gsmn")
ORDERED = ("sgr", "saf", "gsmn")
EVALUATED = ("vsepp", "vsepp-order", "hal", "vsrn", "vseinfty-bigru", "vseinfty-bert", "sgr", "saf", "gsmn",
             "gsmn-propagate-sparse")  # fmt: skip


def marked(fast: bool, *values: str) -> object:
    """A case that always runs, or one of the whole only."""
    return pytest.param(*values, marks=() if fast else pytest.mark.cuda_whole)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("pretend"))


@pytest.mark.parametrize(
    ("network", "precision"),
    [marked((name, precision) in FAST, name, precision) for name in NETWORKS for precision in ("float32", "bf16")],
)
def test_run_is_interrupted_and_resumed(
    network: str, precision: str, data: Path, bert_folder: Path, tmp_path: Path
) -> None:
    take_step, steps = loop.take_step, [0]

    def interrupted(*given: object) -> object:
        steps[0] += 1
        if steps[0] == 6:  # within the second epoch, where HAL has a memory bank
            signal.raise_signal(signal.SIGINT)
        return take_step(*given)  # type: ignore[arg-type]

    with pretend_gpu(ROOT), mock.patch.object(loop, "take_step", interrupted):
        with pytest.raises(SystemExit, match="130"):
            train(network, data, tmp_path / "run", f"--precision {precision}", bert_folder)
        train(network, data, tmp_path / "run", f"--precision {precision} --resume auto", bert_folder)
    assert steps == [8]


@pytest.mark.cuda_whole
@pytest.mark.parametrize(
    ("network", "loss"),
    [
        (network, loss)
        for network in FACETED
        for loss in OBJECTIVES
        if loss != "neighbor_retr" or network not in ("sgr", "saf", "gsmn")  # it compares embeddings
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_objective_trains(network: str, loss: str, precision: str, data: Path, tmp_path: Path) -> None:
    scale = "--score_scale 2" if network == "gsmn" and OBJECTIVES[loss].needs_bounded_scores else ""
    with pretend_gpu(ROOT):
        train(network, data, tmp_path / "run", f"--num_epochs 1 --loss {loss} {scale} --precision {precision}")


@pytest.mark.parametrize(
    ("network", "loss"),
    [marked(False, name, loss) for name in FACETED for loss in ("lseh", "soft_margin", "sam")],
)
def test_objective_of_hardest_negatives_trains(network: str, loss: str, data: Path, tmp_path: Path) -> None:
    with pretend_gpu(ROOT):
        train(network, data, tmp_path / "run", f"--num_epochs 1 --loss {loss} --max_violation --precision bf16")


@pytest.mark.parametrize(
    "network", [marked(name == "hal-bank", name) for name in (*FACETED, "hal", "hal-bank", "vsrn")]
)
def test_features_may_stay_on_the_host(network: str, data: Path, tmp_path: Path) -> None:
    readers, read = set(), PairDataset.read

    def watched(*given: Any) -> Any:
        readers.add(threading.current_thread())
        return read(*given)

    with pretend_gpu(ROOT), mock.patch.object(PairDataset, "read", watched):
        train(network, data, tmp_path / "run", "--no_features_on_device")
    assert readers - {threading.main_thread()}, "batches are read ahead"


@pytest.mark.parametrize("network", [marked(name == "sgr", name) for name in NETWORKS if name.startswith(ORDERED)])
def test_gradients_of_repeated_items_have_an_order(network: str, data: Path, tmp_path: Path) -> None:
    with pretend_gpu(ROOT) as seen:
        train(network, data, tmp_path / "run", "--num_epochs 1 --loss lmh")
    assert not seen.unordered


@pytest.mark.parametrize("network", [marked(name == "saf", name) for name in EVALUATED])
def test_checkpoint_is_evaluated(network: str, data: Path, bert_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "run" / "model_best.pth.tar"
    with pretend_gpu(ROOT):
        folder = train(network, data, tmp_path / "run", "--num_epochs 1", bert_folder)
        more = "--captions 3" if folder == "VSRN_LSEH" else ""
        evaluate(folder, model, f"--json {tmp_path}/m.json --save_similarities {tmp_path}/s.npy {more}")
        if folder == "SGRAF_LSEH":
            evaluate(folder, model, "--rerank 3")
            evaluate(folder, model, f"--out {tmp_path}/out", script="visualize")
    assert (tmp_path / "s.npy").exists()
