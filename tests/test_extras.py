"""Optional libraries and models of the hub are found, or missed in one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from vse.errors import InputError
from vse.extras import hub_folder, library


def test_an_installed_library_is_imported() -> None:
    assert library("math", "a circle", "circles") is math


def test_a_missing_library_names_the_extra_that_brings_it() -> None:
    with pytest.raises(InputError, match=r'^a circle: needs .* no_such_library; pip install "vse\[circles\]"$'):
        library("no_such_library", "a circle", "circles")


def test_a_folder_is_its_own_model(tmp_path: Path) -> None:
    assert hub_folder(str(tmp_path), ["config.json"]) == tmp_path


def test_a_model_is_taken_from_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert hub_folder("owner/model", ["config.json"]) == tmp_path
    assert asked == [("owner/model", ["config.json"])]


def test_a_model_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"^owner/model: no such folder.*\(OSError\); download") as problem:
        hub_folder("owner/model", ["config.json"])
    assert "\n" not in str(problem.value)
