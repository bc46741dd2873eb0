"""Checkpoints: whole or not at all, verified, and what a resumed run needs is told from what a model needs."""

from __future__ import annotations

import contextlib
import copy
import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.campaign import CALLS, failing
from vse import checkpoints
from vse.checkpoints import Checkpoint, RunState, previous_of
from vse.errors import InputError
from vse.formats.tensor_files import DamagedError


def a_checkpoint(step: int = 3) -> Checkpoint:
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    return Checkpoint(
        network="VSEpp",
        parts=[{"weight": torch.arange(6.0).reshape(2, 3) + step, "steps": torch.tensor(step)}],
        options={"resume": None, "max_violation": True, "name": "é", "coefficients": (0.5, 1.0)},
        vocabulary={"words": ["<pad>", "dog"]},
        image_shape=[4, 6],
        progress={"best": float("-inf"), "epoch": 1, "step": step},
        record={"data": {"sha256": "0" * 64}},
        run=RunState({}, optimizer.state_dict(), {"seed": 0}, [{"cpu": torch.get_rng_state()}]),
    )


def digest(checkpoint: Checkpoint) -> str:
    return checkpoints.digest(checkpoints._to_content(checkpoint))


def test_a_saved_checkpoint_comes_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, a_checkpoint())
    loaded = checkpoints.load(path, "VSEpp")
    assert digest(loaded) == digest(a_checkpoint())
    assert loaded.path == path
    assert list(tmp_path.iterdir()) == [path], "no temporary file may stay"


def test_the_best_model_holds_no_optimizer_state(tmp_path: Path) -> None:
    path, best = tmp_path / "checkpoint.pth.tar", tmp_path / "model_best.pth.tar"
    checkpoints.save(path, a_checkpoint(), best)
    loaded = checkpoints.load(best)
    assert loaded.run is None
    assert digest(loaded) == digest(replace(a_checkpoint(), run=None))
    assert path.stat().st_ino != best.stat().st_ino
    first = best.read_bytes()
    checkpoints.save(path, a_checkpoint(4))
    assert best.read_bytes() == first


def test_the_checkpoint_before_the_newest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    for step in (1, 2, 3):
        checkpoints.save(path, a_checkpoint(step))
    assert previous_of(path).name == "checkpoint.previous.pth.tar"
    assert checkpoints.load(path).progress["step"] == 3
    assert checkpoints.load(previous_of(path)).progress["step"] == 2
    assert path.stat().st_ino != previous_of(path).stat().st_ino


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-100])])
def test_a_damaged_checkpoint_falls_back(
    tmp_path: Path, spoil: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    for step in (1, 2):
        checkpoints.save(path, a_checkpoint(step))
    assert checkpoints.load_newest(path).progress["step"] == 2
    spoil(path)
    assert checkpoints.load_newest(path).progress["step"] == 1
    assert f"resumes from {previous_of(path)}" in capsys.readouterr().err
    spoil(previous_of(path))
    with pytest.raises(InputError, match=r"checkpoint(\.previous)?\.pth\.tar: (no such|damaged)"):
        checkpoints.load_newest(path)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, a_checkpoint())
    whole = path.read_bytes()
    for value in (float("nan"), float("inf")):
        broken = replace(a_checkpoint(), parts=[{"bn.running_var": torch.tensor([1.0, value])}])
        with pytest.raises(InputError, match=r"not saved.*`bn\.running_var` holds NaN or infinity"):
            checkpoints.save(path, broken, tmp_path / "model_best.pth.tar")
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", CALLS)
def test_a_failing_system_call_leaves_a_checkpoint(tmp_path: Path, call: str, code: int) -> None:
    path, best = tmp_path / "checkpoint.pth.tar", tmp_path / "model_best.pth.tar"
    for step in (1, 2):
        checkpoints.save(path, a_checkpoint(step), best)
    for number in range(4):
        with contextlib.suppress(InputError), failing(call, number, code):
            checkpoints.save(path, a_checkpoint(3), best)
        newest = checkpoints.load_newest(path).progress["step"]
        assert newest in (2, 3)
        assert checkpoints.load(best).progress["step"] >= newest
        assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, a_checkpoint())
    with pytest.raises(InputError, match="a checkpoint of VSEpp; expected one of SGRAF"):
        checkpoints.load(path, "SGRAF")


def write(path: Path, **changes: Any) -> None:
    """Write a checkpoint with entries that were never saved so, and the right SHA-256."""
    content = {"format": "vse 1", **checkpoints._to_content(a_checkpoint()), **changes}
    content = {name: value for name, value in content.items() if value is not ...}
    torch.save({**content, "sha256": checkpoints.digest(content)}, path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": [1, 2]},
        {"model": {"weight": 3.5}},
        {"model": {1: torch.zeros(2)}},
        {"model": ...},
        {"network": 7},
        {"network": ...},
        {"options": None},
        {"options": ...},
        {"vocabulary": "words"},
        {"progress": {"step": "three"}},
        {"image_shape": 5},
        {"optimizer": []},
        {"objective": ...},
        {"order": {"seed": "a"}},
        {"rng": {"cpu": 1}},
        {"record": 3},
    ],
)
def test_an_entry_of_another_type_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path / "a.pth.tar", **changes)
    with pytest.raises(DamagedError, match=r"a\.pth\.tar: it"):
        checkpoints.load(tmp_path / "a.pth.tar")


def test_a_checkpoint_of_the_first_version_loads(tmp_path: Path) -> None:
    write(tmp_path / "a.pth.tar", record=..., image_shape=..., versions={"vse": "0.1.0"})
    loaded = checkpoints.load(tmp_path / "a.pth.tar", "VSEpp")
    assert (loaded.record, loaded.image_shape) == (None, None)
    assert loaded.run is not None


def test_an_altered_value_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    write(path)
    content = torch.load(path, weights_only=True)
    content["progress"]["step"] = 4
    torch.save(content, path)
    with pytest.raises(DamagedError, match="does not match its SHA-256"):
        checkpoints.load(path)


def test_weights_that_do_not_fit_are_named() -> None:
    network = torch.nn.Linear(3, 2)
    for words, state in {
        "lacks `bias`": {"weight": torch.zeros(2, 3)},
        r"`weight` has shape \[2, 4\], the network wants \[2, 3\]": {
            "weight": torch.zeros(2, 4),
            "bias": torch.zeros(2),
        },
        "holds `extra`": {**network.state_dict(), "extra": torch.zeros(1)},
    }.items():
        with pytest.raises(InputError, match=words):
            checkpoints.load_weights(network, Checkpoint("Linear", [state], {}))


def test_an_older_optimizer_state_is_updated_in_one_kernel(tmp_path: Path) -> None:
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    old, new = torch.optim.Adam(weights[:1], foreach=False), torch.optim.Adam(weights[1:], fused=True)
    weights[0].grad = torch.tensor([1.0, -2.0, 3.0])
    old.step()
    run, objective = RunState({}, copy.deepcopy(old.state_dict()), {}, []), torch.nn.Module()
    weights[1].data.copy_(weights[0])
    checkpoints.load_run(run, objective, new, tmp_path)
    assert new.param_groups[0]["fused"] is True
    assert run.optimizer["param_groups"][0]["fused"] is None
    for weight, optimizer in zip(weights, (old, new), strict=True):
        weight.grad = torch.tensor([0.5, 0.25, -1.0])
        optimizer.step()
    torch.testing.assert_close(weights[1], weights[0])


def test_an_optimizer_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    optimizer, objective = torch.optim.Adam([weight]), torch.nn.Module()
    run = a_checkpoint().run
    assert run is not None
    checkpoints.load_run(run, objective, optimizer, tmp_path)
    other = torch.optim.Adam([torch.nn.Parameter(torch.zeros(7))])
    wrong: list[Any] = [{}, {"state": {}, "param_groups": []}, {"state": {0: {"exp_avg": 3}}, "param_groups": 1}]
    for state in wrong:
        with pytest.raises(InputError, match="made with another objective or with other parameters"):
            checkpoints.load_run(replace(run, optimizer=state), objective, torch.optim.Adam([weight]), tmp_path)
    with pytest.raises(InputError, match="made with another objective or with other parameters"):
        checkpoints.load_run(run, objective, other, tmp_path)
