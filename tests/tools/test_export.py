"""Exported models: equal scores to the bit, nothing of the machine, a card, and damaged folders refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import vse
from tests.trained import CAPTIONS, SIZES, features, write_checkpoint
from vse.errors import InputError
from vse.tools.export import Options, main

RECORD = {
    "data": {"train": {"folder": "/somewhere/f8k", "images": 6000, "captions": 30000}},
    "environment": {"commit": "ab12", "host": "secret", "folder": "/home/me", "command": ["python", "train.py"]},
    "best_score": 154.04,
    "best_epoch": 3,
    "selected_by": "rsum",
}


def export(tmp_path: Path, name: str = "VSEpp", **flags: str) -> tuple[Path, Path]:
    checkpoint = write_checkpoint(tmp_path / "model.pth.tar", name, record=RECORD, data_path="/home/me/data")
    main(Options(str(checkpoint), str(tmp_path / "out"), **flags))
    return checkpoint, tmp_path / "out"


@pytest.mark.parametrize("name", SIZES)
def test_an_export_gives_equal_scores_to_the_bit(name: str, tmp_path: Path) -> None:
    before, after = (vse.load(path, device="cpu") for path in export(tmp_path, name))
    assert after.digest == before.digest
    assert torch.equal(after.score(features(), CAPTIONS), before.score(features(), CAPTIONS))


def test_an_export_holds_weights_but_no_state_of_training(tmp_path: Path) -> None:
    _, folder = export(tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "vocabulary.json",
    }
    assert "optimizer" not in (folder / "config.json").read_text()


def test_an_export_says_nothing_of_the_machine(tmp_path: Path) -> None:
    _, folder = export(tmp_path)
    text = (folder / "config.json").read_text() + (folder / "README.md").read_text()
    for secret in ("secret", "/home/me", "/somewhere", "train.py"):
        assert secret not in text


def test_the_card_states_network_data_score_commit_and_licence(tmp_path: Path) -> None:
    _, folder = export(tmp_path, license="cc-by-nc-4.0")
    card = (folder / "README.md").read_text()
    for fact in ("license: cc-by-nc-4.0", "f8k, 6000 images, 30000 captions", "rsum 154.0 (epoch 3)", "ab12", "lseh"):
        assert fact in card


def test_an_export_keeps_how_features_are_made(tmp_path: Path) -> None:
    record = {"model": "efficientnet_lite0", "weights": "by name", "asked": {"dtype": "float16"}}
    (tmp_path / "features.json").write_text(json.dumps(record))
    _, folder = export(tmp_path, features=str(tmp_path))
    model = vse.load(folder, device="cpu")
    assert model.extraction is not None
    assert model.extraction["model"] == "efficientnet_lite0"
    assert "efficientnet_lite0" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files_is_refused(name: str, tmp_path: Path) -> None:
    _, folder = export(tmp_path)
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        vse.load(folder)


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("config.json", '"lseh"', '"infonce"', "does not match its SHA-256"),
        ("vocabulary.json", '"dog"', '"cow"', "does not match its SHA-256"),
        ("config.json", '"weights": [', '"weights": 3, "x": [', "not the configuration"),
        ("config.json", "{", "", "not JSON"),
    ],
)
def test_an_altered_folder_is_refused(name: str, before: str, after: str, words: str, tmp_path: Path) -> None:
    _, folder = export(tmp_path)
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after, 1))
    with pytest.raises(InputError, match=words):
        vse.load(folder)


def test_cut_off_weights_are_refused(tmp_path: Path) -> None:
    _, folder = export(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match="damaged"):
        vse.load(folder)


def test_a_licence_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--license"):
        export(tmp_path, license="mit\nx: y")


def test_the_hub_offline_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(InputError, match="not in the cache of the Hugging Face hub"):
        vse.load("hf:nobody/nothing")
