"""Checkpoints: whole or not at all, verified, and nothing in them runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from vse import checkpoints
from vse.errors import InputError


def content() -> dict:
    return {
        "network": "VSEpp",
        "model": {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3)},
        "progress": {"best": float("-inf"), "epoch": 1},
        "options": {"resume": None, "max_violation": True, "name": "é"},
        "rng": [{"cpu": torch.get_rng_state()}],
    }


def test_a_saved_checkpoint_comes_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, content())
    loaded = checkpoints.load(path, "VSEpp")
    assert checkpoints.digest({key: loaded[key] for key in content()}) == checkpoints.digest(content())
    assert list(tmp_path.iterdir()) == [path], "no temporary file may stay"


def test_the_best_model_is_the_same_checkpoint_and_survives_the_next_save(tmp_path: Path) -> None:
    path, best = tmp_path / "checkpoint.pth.tar", tmp_path / "model_best.pth.tar"
    checkpoints.save(path, content(), best)
    first = best.read_bytes()
    assert first == path.read_bytes()
    checkpoints.save(path, {**content(), "progress": {"best": 1.0, "epoch": 2}})
    assert best.read_bytes() == first != path.read_bytes()


def test_every_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, content())
    whole = path.read_bytes()
    expected = checkpoints.digest({key: checkpoints.load(path, "VSEpp")[key] for key in content()})
    refused = 0
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        loaded = None
        with contextlib.suppress(InputError):
            loaded = checkpoints.load(path, "VSEpp")
        if loaded is None:
            refused += 1
        else:
            assert checkpoints.digest({key: loaded[key] for key in content()}) == expected
    assert refused > 0


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, length: float) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, content())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(length * len(whole)) if 0 < length < 1 else int(length)])
    with pytest.raises(InputError, match=r"checkpoint\.pth\.tar"):
        checkpoints.load(path, "VSEpp")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    checkpoints.save(path, content())
    with pytest.raises(InputError, match="a checkpoint of VSEpp; expected one of SGRAF"):
        checkpoints.load(path, "SGRAF")


class Dangerous:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made-by-the-checkpoint",)


@pytest.mark.parametrize("payload", [{"model": Dangerous()}, Dangerous()])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, payload: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(payload, tmp_path / "a.pth.tar")
    (tmp_path / "b.pth.tar").write_bytes(pickle.dumps(payload))
    for name in ("a.pth.tar", "b.pth.tar"):
        with pytest.raises(InputError, match=name):
            checkpoints.load(tmp_path / name, "VSEpp")
    assert not (tmp_path / "made-by-the-checkpoint").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_checkpoint_is_recognised(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model_best.pth.tar"
    published = {
        "epoch": 3,
        "model": [{"fc.weight": torch.ones(2, 2)}, {"embed.weight": torch.ones(3, 2)}],
        "best_rsum": np.float64(123.5),
        "opt": argparse.Namespace(embed_size=2, margin=0.2, resume=""),
        "Eiters": 12,
    }
    torch.save(published, path, _use_new_zipfile_serialization=zipped)
    loaded = checkpoints.load(path, "VSEpp")
    assert loaded["published"]
    assert loaded["best"] == 123.5
    assert loaded["options"]["embed_size"] == 2
    assert torch.equal(loaded["model"][1]["embed.weight"], torch.ones(3, 2))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    with pytest.raises(InputError, match="lacks `bias`"):
        checkpoints.load_state(network, {"weight": torch.zeros(2, 3)}, tmp_path)
    with pytest.raises(InputError, match=r"`weight` has shape \[2, 4\], the network wants \[2, 3\]"):
        checkpoints.load_state(network, {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, tmp_path)
    with pytest.raises(InputError, match="holds `extra`"):
        checkpoints.load_state(network, {**network.state_dict(), "extra": torch.zeros(1)}, tmp_path)
