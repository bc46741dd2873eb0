"""Tracking services, each by its small adapter; stand-ins of the libraries note what they are told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vse.errors import InputError
from vse.training.tracking import TRACKERS, check_tracker, open_tracker


class Library:
    """Notes every call, whatever its name; a run that it opens notes its calls as well."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append((name, arguments, named))
            return self

        return call


@pytest.mark.parametrize("name", TRACKERS)
def test_a_run_is_named_sent_and_ended(name: str, tmp_path: Path, monkeypatch) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, name, library)
    tracker = open_tracker(name, tmp_path / "runX", {"loss": "lseh"})
    assert tracker is not None
    tracker.log({"train/loss": 0.5}, 7)
    tracker.close()
    text = repr(library.calls)
    assert "runX" in text
    assert "{'loss': 'lseh'}" in text
    (sent,) = [named for called, arguments, named in library.calls if arguments == ({"train/loss": 0.5},)]
    assert sent == {"step": 7}
    assert library.calls[-1][0] in ("finish", "end_run")


def test_a_missing_library_is_refused_with_its_name(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"--track wandb: not installed; pip install wandb"):
        check_tracker("wandb")


def test_a_service_out_of_reach_does_not_stop_the_run(tmp_path: Path, monkeypatch, capsys) -> None:
    def init(**_: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    assert open_tracker("wandb", tmp_path, {}) is None
    assert "no route to host" in capsys.readouterr().err
