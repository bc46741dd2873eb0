"""A run around its loop: signals, folders, and the checkpoint it goes on from."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vse import checkpoints
from vse.checkpoints import Checkpoint, RunState
from vse.errors import InputError
from vse.losses import MaxHinge
from vse.nn.network import EmbeddingNetwork
from vse.options import TrainingOptions
from vse.training.record import describe_start
from vse.training.runs import (
    Interrupt,
    Interrupted,
    Progress,
    Run,
    begin_run,
    check_start,
    claim_folders,
    lock_folders,
    random_states,
    release_folders,
    resume,
    resumes_own,
)

ORDER = {"seed": 0, "pairs_per_step": 4, "pairs": 8}


class Network(EmbeddingNetwork):
    """Two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder, self.caption_encoder = nn.Linear(4, 2), nn.Linear(4, 2)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", torch.device("cpu"))


def save(run: Run, network: Network, with_state: bool = True) -> None:
    run.folder.mkdir(exist_ok=True)
    optimizer = torch.optim.Adam(network.parameters())
    state = RunState(MaxHinge().state_dict(), optimizer.state_dict(), ORDER, random_states(run))
    progress = {"epoch": 1, "position": 2, "step": 4, "validated": 3, "best": 9.0}
    content = Checkpoint("VSEpp", [network.state_dict()], {}, {"words": []}, [4], progress)
    content = Checkpoint(**{**vars(content), "run": state if with_state else None})
    checkpoints.save(run.checkpoint, content)


def resumed(
    run: Run, network: Network, source: str = "auto", order: dict[str, int] = ORDER, num_epochs: int = 3
) -> Any:
    optimizer = torch.optim.Adam(network.parameters())
    return resume(
        source, "VSEpp", run, network, MaxHinge(), optimizer, None, order, {"options": {"num_epochs": num_epochs}}
    )


def test_what_can_be_repeated_stops_at_once() -> None:
    with Interrupt().watching() as interrupt:
        with pytest.raises(Interrupted), interrupt.at_once():
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.stops()


def test_a_signal_before_a_computation_stops_it_before_it_begins() -> None:
    with Interrupt().watching() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), interrupt.at_once():
            pytest.fail("begun")
        assert interrupt.received == signal.SIGTERM


def test_bf16_without_cuda_is_refused() -> None:
    with pytest.raises(InputError, match="--precision bf16: needs a CUDA device, this is cpu; use float32"):
        begin_run(TrainingOptions(device="cpu", precision="bf16"))


def test_an_earlier_run_is_moved_aside_unless_it_is_resumed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.folder.mkdir()
    run.checkpoint.touch()
    lock_folders(run)
    claim_folders(run, resumed=True, options={"seed": 0})
    release_folders(run)
    assert run.checkpoint.exists()
    lock_folders(run)
    claim_folders(run, resumed=False, options={"seed": 1})
    release_folders(run)
    assert {path.name for path in run.folder.iterdir()} == {"options.json"}
    assert (run.folder.with_name("run.1") / "checkpoint.pth.tar").exists()
    assert "holds an earlier run: moved to" in capsys.readouterr().out


def test_the_data_set_is_not_moved_aside_with_a_run(run: Run) -> None:
    data = run.folder / "f30k_precomp"
    data.mkdir(parents=True)
    run.checkpoint.touch()
    lock_folders(run)
    with pytest.raises(InputError, match=r"holds an earlier run and the data set .*; give another folder"):
        claim_folders(run, resumed=False, options={}, data=data)
    release_folders(run)
    assert data.is_dir()


def test_a_run_does_not_share_the_folder_of_the_data_set(run: Run) -> None:
    run.folder.mkdir()
    with pytest.raises(InputError, match=r"--logger_name .*: the folder of the data set; give the run a folder"):
        claim_folders(run, resumed=True, options={}, data=run.folder)
    release_folders(run)
    assert not any(run.folder.iterdir())


@pytest.mark.parametrize("device", ["cpu:x", "cpu:-1", "gpu", ""])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"--device {device}: not available here; expected one of"):
        begin_run(TrainingOptions(device=device))


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_that_came_and_went_meanwhile_is_moved_aside(resumed: bool, run: Run, tmp_path: Path) -> None:
    lock_folders(run)  # there is no folder yet
    run.folder.mkdir()
    run.checkpoint.write_text("of another run")
    claim_folders(run, resumed, options={})
    assert not run.checkpoint.exists()
    assert [path.read_text() for path in tmp_path.glob("*/checkpoint.pth.tar")] == ["of another run"]
    release_folders(run)


def test_a_resumed_model_stays_where_its_run_folder_is_gone(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", torch.device("cpu"), models=tmp_path / "models")
    run.checkpoint.parent.mkdir()
    run.checkpoint.write_text("resumed")
    lock_folders(run)
    claim_folders(run, resumed=True, options={})
    assert run.checkpoint.read_text() == "resumed"
    release_folders(run)


def test_only_its_own_checkpoint_makes_a_run_go_on_in_its_folder(run: Run, tmp_path: Path) -> None:
    run.folder.mkdir()
    run.checkpoint.touch()
    (tmp_path / "link").symlink_to(run.checkpoint)
    (tmp_path / "other").touch()
    cases = {None: False, "auto": True, str(tmp_path / "link"): True, str(tmp_path / "other"): False}
    assert {source: resumes_own(TrainingOptions(resume=source), run) for source in cases} == cases


def test_auto_without_a_checkpoint_starts_from_the_beginning(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert resumed(run, Network()) == (Progress(), None, None)
    assert "no checkpoint in" in capsys.readouterr().out


def test_a_resumed_run_has_weights_place_and_random_numbers(run: Run) -> None:
    saved, network = Network(), Network()
    save(run, saved)
    expected = torch.rand(3)
    progress = resumed(run, network).progress
    assert (progress.epoch, progress.position, progress.step, progress.best) == (1, 2, 4, 9.0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(network.image_encoder.weight, saved.image_encoder.weight)  # type: ignore[arg-type]


def test_another_order_of_the_pairs_is_refused(run: Run) -> None:
    save(run, Network())
    with pytest.raises(InputError, match="made with pairs per step 4, this run has 8; resume with the same --seed"):
        resumed(run, Network(), order={**ORDER, "pairs_per_step": 8})


def test_a_model_without_the_state_of_its_run_is_not_resumed(run: Run) -> None:
    save(run, Network(), with_state=False)
    with pytest.raises(InputError, match=r"without the state of its run; .* with --init_model"):
        resumed(run, Network(), source=str(run.checkpoint))


def test_a_run_is_not_resumed_to_fewer_epochs_than_it_has(run: Run) -> None:
    save(run, Network())
    with pytest.raises(InputError, match="has trained into epoch 2, beyond --num_epochs 1; give at least 2"):
        resumed(run, Network(), num_epochs=1)
    resumed(run, Network(), num_epochs=2)


def test_a_run_goes_on_only_from_the_start_that_it_had(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / "one.pth.tar", tmp_path / "other.pth.tar"]
    for number, path in enumerate(paths):
        checkpoints.save(path, Checkpoint("VSEpp", [{"weight": torch.full((2,), float(number))}], {}))
    earlier = {"started_from": describe_start(checkpoints.load(paths[0], "VSEpp"))}
    check_start(str(paths[0]), "VSEpp", run.checkpoint, earlier)
    check_start(str(tmp_path / "gone"), "VSEpp", run.checkpoint, earlier)
    with pytest.raises(
        InputError, match=r"started from the weights \w{8} of .*one.pth.tar, while --init_model .*other"
    ):
        check_start(str(paths[1]), "VSEpp", run.checkpoint, earlier)
    with pytest.raises(InputError, match="did not start from other weights; go on without --init_model"):
        check_start(str(paths[1]), "VSEpp", run.checkpoint, {"started_from": None})
