"""A small index, for tests of what is found in it."""

from __future__ import annotations

from pathlib import Path

import torch

import vse
from tests.trained import CAPTIONS, features, write_checkpoint
from vse.search.store import Index, Item

IMAGES = 40


def build(tmp_path: Path, name: str = "VSEpp", **options: object) -> tuple[vse.Model, Index, torch.Tensor]:
    """An index of images and captions in several shards, and the scores of all of them."""
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar", name, **options), device="cpu")
    images, captions = model.encode_images(features(IMAGES)), model.encode_text(CAPTIONS)
    (tmp_path / "index").mkdir()
    index = Index(tmp_path / "index", {"weights_sha256": model.digest})
    index.update(
        "images",
        [Item(str(row), str(row), "1") for row in range(IMAGES)],
        lambda places: images.rows(torch.tensor(places)),
        chunk=7,
    )
    index.update(
        "captions",
        [Item(caption, caption, "1") for caption in CAPTIONS],
        lambda places: captions.rows(torch.tensor(places)),
    )
    return model, index, model.score(images, captions)
