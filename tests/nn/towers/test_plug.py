"""Towers as the options describe them: what the reader reads, and what the network behind them sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.nn.towers.conftest import tiny_config
from vse.data.loading import Reader
from vse.errors import InputError
from vse.nn.towers.plug import check_towers, plug_image_tower, plug_text_tower, with_towers
from vse.options import TowerOptions
from vse.text.tower_pieces import TowerPieces

pytest.importorskip("timm")


def test_without_towers_the_reader_stays_as_it_is() -> None:
    reader = Reader()
    assert with_towers(reader, TowerOptions()) is reader


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (TowerOptions(image_tower_train="all"), "--image_tower_train all: there is no --image_tower; give one"),
        (TowerOptions(text_tower="hf:x", tower_weights="x"), "--tower_weights x: there is no --image_tower"),
        (TowerOptions(image_tower="x", text_tower_train=2), "--text_tower_train 2: there is no --text_tower"),
    ],
)
def test_what_is_asked_of_a_tower_that_is_not_there_is_refused(options: TowerOptions, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_towers(options)


def test_without_a_tower_the_network_sees_the_features() -> None:
    assert plug_image_tower(TowerOptions(), (36, 2048), pooled=False, pretrained=True) == (None, (36, 2048))


def test_an_image_tower_decides_what_the_network_sees() -> None:
    options = TowerOptions(image_tower="timm:test_vit", image_tower_lr=0.3, layer_decay=0.7)
    tower, shape = plug_image_tower(options, (3, 160, 160), pooled=False, pretrained=False)
    assert tower is not None
    assert shape == tower.shape == (100, 64)
    assert (tower.rate, tower.layer_decay) == (0.3, 0.7)
    assert plug_image_tower(options, (3, 160, 160), pooled=True, pretrained=False)[1] == (64,)


def test_weights_of_a_checkpoint_need_no_weights_file(tmp_path: Path) -> None:
    options = TowerOptions(image_tower="timm:test_vit", tower_weights=str(tmp_path / "gone.pth"))
    tower, _ = plug_image_tower(options, (3, 160, 160), pooled=False, pretrained=False)
    assert tower is not None


@pytest.mark.parametrize("name", ["efficientnet_lite0", "bert-base-uncased", "timm:test_vit"])
def test_a_text_tower_of_another_form_is_refused_at_once(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such text tower; expected hf:FOLDER"):
        with_towers(Reader(), TowerOptions(text_tower=name))


def test_a_text_tower_is_rebuilt_from_a_checkpoints_text() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")
    config = json.loads(tiny_config("bert").to_json_string(use_diff=False))
    state = TowerPieces(tokenizers.Tokenizer(vocabulary).to_str(), config, mask=None).to_state()
    options = TowerOptions(text_tower="hf:gone", text_tower_lr=0.3, text_tower_train=1)
    text = with_towers(Reader(), options).text_of_state(state)
    tower = plug_text_tower(options, text, pooled=False, pretrained=False)
    assert (tower.dimensions, tower.rate) == (16, 0.3)
    assert tower(torch.zeros(1, 2, dtype=torch.int64), torch.tensor([2])).shape == (1, 2, 16)
