"""Untrained checkpoints of every network, for tests of what is done with trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vse import checkpoints, networks
from vse.checkpoints import Checkpoint
from vse.options import as_dict, with_values
from vse.text.vocabulary import Vocabulary

CAPTIONS = ("a red dog in the park", "a dog", "the black cat sleeps on a sofa", "two boats")

DATA_SET_WORDS = "there is near , and it . the with one this in green blue car boat house tree street river field beach"
"""Words of the data set that `tests/conftest.py` writes."""

SIZES: dict[str, dict[str, Any]] = {
    "VSEpp": {},
    "VSRN": {"no_captioning": True, "region_norm_axis": "features"},
    "VSEinfty": {"text_encoder": "bigru"},
    "SGRAF": {"module_name": "SGR", "sim_dim": 8},
    "GSMN": {"num_block": 4, "hid_dim": 8, "feat_dim": 4, "is_sparse": True},
    "HAL": {},
}

SHAPE = (4, 6)


def write_checkpoint(
    path: Path,
    name: str = "VSEpp",
    shape: tuple[int, ...] = SHAPE,
    state_shape: bool = True,
    record: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write a checkpoint with random weights; `state_shape=False` leaves the shape out, as earlier versions did."""
    folder = networks.folder(name)
    chosen = with_values(folder.options(), {"embed_size": 8, "word_dim": 6, **SIZES[name], **options})
    vocabulary = Vocabulary.build([*CAPTIONS, DATA_SET_WORDS], threshold=1).to_state()
    text = folder.reader(chosen).text_of_state(vocabulary)
    torch.manual_seed(0)
    network = folder.build(chosen, shape, text, False)
    checkpoint = Checkpoint(
        name,
        [dict(network.state_dict())],
        {**as_dict(chosen), "loss": "lseh", "lr_milestones": []},
        vocabulary,
        list(shape) if state_shape else None,
        record=record,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(path, checkpoint)
    return path


def features(images: int = 5, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Draw features of images, float32 [images, *shape]."""
    return np.random.default_rng(0).normal(size=(images, *shape)).astype(np.float32)
