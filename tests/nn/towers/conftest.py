"""Tiny random models as the transformers library writes them to a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
PICTURES = SMALL | {"image_size": 32, "patch_size": 8}
TEXT = SMALL | {
    "vocab_size": 50,
    "max_position_embeddings": 12,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def tiny_config(kind: str) -> Any:
    """The configuration of a small model of a `model_type`."""
    if kind == "swin":
        sizes = {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [2, 1],
            "num_heads": [2, 2],
            "window_size": 4,
        }
        return transformers.SwinConfig(**sizes)
    if kind in ("clip", "siglip"):
        towers = {"clip": transformers.CLIPConfig, "siglip": transformers.SiglipConfig}
        text = TEXT | {"projection_dim": 8} if kind == "clip" else TEXT | {"projection_size": 16}
        return towers[kind](text_config=text, vision_config=PICTURES)
    sizes = TEXT if kind in ("bert", "roberta") else PICTURES
    if kind == "roberta":
        sizes = TEXT | {"max_position_embeddings": 14}
    return transformers.AutoConfig.for_model(kind, **sizes)


@pytest.fixture
def model_folder(tmp_path: Path) -> Callable[..., Path]:
    """`model_folder(kind)`: a folder with a tiny random model of that kind and its preprocessing."""

    def make(kind: str, size: int = 32) -> Path:
        torch.manual_seed(0)
        folder = tmp_path / kind
        model = transformers.AutoModel.from_config(tiny_config(kind))
        for parameter in model.parameters():  # some start at zero, which hides mistakes
            torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder)
        preprocessing = {
            "size": {"height": size, "width": size},
            "image_mean": [0.5, 0.4, 0.3],
            "image_std": [0.2, 0.25, 0.3],
            "resample": 3,
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
        return folder

    return make
