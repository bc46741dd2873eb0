"""Where and with what a result was made."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vse import records
from vse.options import as_dict


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_environment_is_plain_and_complete() -> None:
    made = records.environment(torch.device("cpu"))
    assert json.loads(json.dumps(made)) == made
    assert set(made["versions"]) == {"vse", "python", "torch", "numpy"}
    assert made["device"] == "cpu"
    assert made["threads"] == torch.get_num_threads()
    assert made["host"]
    assert made["command"][0] == "python"


def test_commit_and_changed_files_are_told(tmp_path: Path, monkeypatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "code")
    monkeypatch.setattr(records, "REPOSITORY", tmp_path.resolve())
    assert records._commit() == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "code.py").write_text("2\n")
    assert records._commit()[1] is True


def test_a_checkout_around_an_installed_copy_is_not_its_commit(tmp_path: Path, monkeypatch) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "other", "--allow-empty")
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(records, "REPOSITORY", tmp_path.resolve() / "site-packages")
    assert records._commit() == (None, None)


@dataclass
class Data:
    data_path: str | None = "data"
    batch_size: int = 8


@dataclass
class Grouped:
    data: Data = field(default_factory=Data)
    coefficients: tuple[float, ...] = (0.5, 0.2)


def test_groups_of_options_become_flat_and_paths_absolute(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert records.flat(as_dict(Grouped())) == {
        "data_path": str(tmp_path / "data"),
        "batch_size": 8,
        "coefficients": [0.5, 0.2],
    }


def test_a_meter_counts_from_when_it_was_made() -> None:
    meter = records.Meter()
    sum(range(2_000_000))
    used = meter.read()
    assert 0 <= used["cpu_seconds"] <= used["wall_seconds"] + 0.2 < 10
    assert used["peak_memory_mb"] > 1
