"""Exported folders: what is one, what of the training's machine stays out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trained import write_checkpoint
from vse import checkpoints
from vse.errors import InputError
from vse.formats import exported
from vse.formats.exported import is_exported, without_places, write_exported


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an exported model."""
    pytest.importorskip("safetensors")
    folder = tmp_path / "exported"
    folder.mkdir()
    write_exported(checkpoints.load(write_checkpoint(tmp_path / "model.pth.tar")), folder, None, "a card", None)
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
    checkpoint = checkpoints.load(write_checkpoint(tmp_path / "model.pth.tar"))
    state = checkpoint.parts[0]
    first, second = list(state)[:2]
    state[second] = state[first]
    write_exported(checkpoint, tmp_path, {"model": "m"}, "a card", None)
    opened = exported.load(tmp_path)
    assert torch.equal(opened.parts[0][second], state[first])
    assert list(opened.parts[0]) == list(state)
    assert opened.record == {"extraction": {"model": "m"}}


def test_the_data_set_keeps_its_name_without_its_place(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    made = checkpoints.load(write_checkpoint(tmp_path / "model.pth.tar"))
    made.options.update(data_path="/private/place", data_name="f8k")
    write_exported(made, tmp_path, None, "a card", None)
    options = exported.load(tmp_path).options
    assert (options["data_path"], options["data_name"]) == (None, "f8k")


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files_is_refused(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        exported.load(folder)


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("config.json", '"lseh"', '"infonce"', "does not match its SHA-256"),
        ("vocabulary.json", '"dog"', '"cow"', "does not match its SHA-256"),
        ("config.json", '"weights": [', '"weights": 3, "x": [', "not the configuration"),
        ("config.json", "{", "", "not JSON"),
    ],
)
def test_an_altered_folder_is_refused(name: str, before: str, after: str, words: str, folder: Path) -> None:
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after, 1))
    with pytest.raises(InputError, match=words):
        exported.load(folder)


def test_cut_off_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match="damaged"):
        exported.load(folder)


def test_the_hub_offline_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(InputError, match="not in the cache of the Hugging Face hub"):
        exported.load("hf:nobody/nothing")


def test_another_network_than_the_expected_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="a checkpoint of VSEpp; expected one of HAL"):
        exported.load(folder, "HAL")
