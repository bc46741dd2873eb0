"""Exported folders: what is one, what of the training's machine stays out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trained import write_checkpoint
from vse import networks
from vse.errors import InputError
from vse.inference.exported import is_exported, open_exported, without_places, write_exported


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder with an exported model."""
    pytest.importorskip("safetensors")
    folder = tmp_path / "exported"
    folder.mkdir()
    write_exported(networks.load(write_checkpoint(tmp_path / "model.pth.tar")), folder, None, "a card", None)
    return folder


def test_folders_and_hub_names_are_exported_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "model.pth.tar").touch()
    assert is_exported(tmp_path)
    assert is_exported("hf:owner/name")
    assert not is_exported(tmp_path / "model.pth.tar")
    assert not is_exported(tmp_path / "absent")


def test_of_a_path_only_its_name_stays_at_any_depth() -> None:
    record = {
        "data": {"train": {"folder": "/private/place/f8k", "images": 3}},
        "environment": {"host": "a", "command": []},
    }
    assert without_places(record) == {"data": {"train": {"folder": "f8k", "images": 3}}, "environment": {}}
    assert without_places({"data_path": None}) == {"data_path": None}


def test_tied_weights_are_written_and_read(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    trained = networks.load(write_checkpoint(tmp_path / "model.pth.tar"))
    state = trained.checkpoint.parts[0]
    first, second = list(state)[:2]
    state[second] = state[first]
    write_exported(trained, tmp_path, {"model": "m"}, "a card", None)
    opened = open_exported(tmp_path)
    assert torch.equal(opened.checkpoint.parts[0][second], state[first])
    assert list(opened.checkpoint.parts[0]) == list(state)
    assert opened.record == {"extraction": {"model": "m"}}


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files_is_refused(name: str, exported: Path) -> None:
    (exported / name).unlink()
    with pytest.raises(InputError, match=name):
        open_exported(exported)


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("config.json", '"lseh"', '"infonce"', "does not match its SHA-256"),
        ("vocabulary.json", '"dog"', '"cow"', "does not match its SHA-256"),
        ("config.json", '"weights": [', '"weights": 3, "x": [', "not the configuration"),
        ("config.json", "{", "", "not JSON"),
    ],
)
def test_an_altered_folder_is_refused(name: str, before: str, after: str, words: str, exported: Path) -> None:
    text = (exported / name).read_text()
    assert before in text
    (exported / name).write_text(text.replace(before, after, 1))
    with pytest.raises(InputError, match=words):
        open_exported(exported)


def test_cut_off_weights_are_refused(exported: Path) -> None:
    weights = exported / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match="damaged"):
        open_exported(exported)


def test_the_hub_offline_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(InputError, match="not in the cache of the Hugging Face hub"):
        open_exported("hf:nobody/nothing")
