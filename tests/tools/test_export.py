"""Exported models: equal scores to the bit, nothing of the machine, and a card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import vse
from tests.trained import CAPTIONS, SIZES, features, write_checkpoint
from vse.errors import InputError
from vse.tools.export import main
from vse.tools.options import ExportOptions

RECORD = {
    "data": {"train": {"folder": "/somewhere/f8k", "images": 6000, "captions": 30000}},
    "environment": {"commit": "ab12", "host": "secret", "folder": "/private/place", "command": ["python", "train.py"]},
    "best_score": 154.04,
    "best_epoch": 3,
    "selected_by": "rsum",
}


def export(tmp_path: Path, name: str = "VSEpp", **flags: str) -> tuple[Path, Path]:
    checkpoint = write_checkpoint(tmp_path / "model.pth.tar", name, record=RECORD, data_path="/private/place/data")
    main(ExportOptions(str(checkpoint), str(tmp_path / "out"), **flags))
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
    for secret in ("secret", "/private/place", "/somewhere", "train.py"):
        assert secret not in text


def test_the_card_states_network_data_score_commit_and_licence(tmp_path: Path) -> None:
    _, folder = export(tmp_path, license="cc-by-nc-4.0")
    card = (folder / "README.md").read_text()
    for fact in ("license: cc-by-nc-4.0", "f8k, 6000 images, 30000 captions", "rsum 154.0 (epoch 3)", "ab12", "lseh"):
        assert fact in card


ASKED = {"regions": 36, "grid": None, "image_size": None, "dtype": "float16", "batch_size": 8}


def test_an_export_keeps_how_features_are_made(tmp_path: Path) -> None:
    record = {"model": "efficientnet_lite0", "weights": "by name", "asked": ASKED}
    (tmp_path / "features.json").write_text(json.dumps(record))
    _, folder = export(tmp_path, features=str(tmp_path))
    model = vse.load(folder, device="cpu")
    assert model.extraction is not None
    assert model.extraction["model"] == "efficientnet_lite0"
    assert "efficientnet_lite0" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_files_of_something_else_are_not_replaced(name: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth.tar")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("my own")
    with pytest.raises(InputError, match=f"{name}: not of an export"):
        main(ExportOptions(str(path), str(tmp_path / "out")))
    assert (tmp_path / "out" / name).read_text() == "my own"
    for _ in range(2):
        main(ExportOptions(str(path), str(tmp_path / "new")))


def test_a_licence_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--license"):
        export(tmp_path, license="mit\nx: y")
