"""A run is opened whole or refused, and its folder is not touched meanwhile."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.sessions import opened
from vse import checkpoints, networks
from vse.checkpoints import Checkpoint
from vse.errors import InputError
from vse.losses import build_objective, resolve
from vse.options import TrainingOptions, with_values
from vse.training.loop import train
from vse.training.runs import Run
from VSEpp_LSEH.train import Options


def test_opening_a_session_leaves_the_run_folder_alone(options: Options, run: Run) -> None:
    assert opened(options, run).progress.step == 0
    assert not run.folder.exists()


def test_a_smaller_last_batch_is_a_step_unless_it_is_dropped(options: Options, run: Run) -> None:
    assert opened(options, run).steps_per_epoch == 8
    assert opened(options, run, drop_last=True).steps_per_epoch == 7


def test_more_pairs_a_step_than_captions_are_refused(options: Options, run: Run) -> None:
    options.data.batch_size = 121
    with pytest.raises(InputError, match="--batch_size 121: 121 pairs a step are more than the 120 training captions"):
        opened(options, run)
    assert not run.folder.exists()


def test_the_order_of_a_run_counts_the_pairs_of_all_processes(options: Options, run: Run) -> None:
    session = opened(options, run)
    assert session.order == {"seed": 0, "pairs_per_step": 16, "pairs": 120}
    run.world_size = 2
    assert session.order["pairs_per_step"] == 32


def test_a_run_starts_from_the_weights_of_init_model(options: Options, run: Run, tmp_path: Path) -> None:
    weights = {name: value + 1 for name, value in opened(options, run).network.state_dict().items()}
    path = tmp_path / "warm.pth.tar"
    checkpoints.save(path, Checkpoint("VSEpp", [weights], {}))
    options.training = TrainingOptions(init_model=str(path), ema=0.9)
    session = opened(options, run)
    assert session.average is not None
    for name, value in session.average.model().items():
        assert torch.equal(value, weights[name])
    assert session.record.current()["started_from"]["path"] == str(path)


def test_noise_refuses_captions_that_tell_their_image(options: Options, run: Run) -> None:
    noisy = with_values(options, {"noise": 0.4, "noise_protocol": "captions", "loss": "lseh"})
    with pytest.raises(InputError, match="--same_image_key legacy_div5: finds a caption's true image"):
        opened(with_values(noisy, {"same_image_key": "legacy_div5"}), run)


def test_a_missing_tracker_is_refused_before_a_run_is_moved(options: Options, run: Run, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    run.folder.mkdir()
    run.checkpoint.write_text("an earlier run")
    options.training = TrainingOptions(logger_name=str(run.folder), track="wandb")
    with pytest.raises(InputError, match="--track wandb: not installed"):
        train(networks.folder("VSEpp"), options, build_objective(resolve(options.objective)))
    assert [path.name for path in run.folder.iterdir()] == [run.checkpoint.name]


@pytest.mark.parametrize(("warmup", "told"), [(1.0, True), (0.5, False)])
def test_a_run_that_is_all_warm_up_says_so(options: Options, run: Run, capsys, warmup: float, told: bool) -> None:
    options.training = TrainingOptions(logger_name=str(run.folder), num_epochs=1, device="cpu")
    options.objective = resolve(replace(options.objective, loss="lmh", warmup_epochs=warmup))
    train(networks.folder("VSEpp"), options, build_objective(options.objective))
    said = capsys.readouterr().err
    assert ("--warmup_epochs 1: the run of 1 epochs ends within its warm-up, before MaxHinge" in said) == told
