"""Captions of text towers: the states of words, and one vector a caption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from vse.nn.towers.encoders import TowerCaptionEmbedding, TowerWordStates
from vse.nn.towers.tower import build_text_tower

ModelFolder = Callable[..., Path]

IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 4, 3, 0], [2, 5, 3, 0, 0]])
LENGTHS = torch.tensor([5, 4, 3])


def test_words_come_from_a_text_tower_and_end_with_the_caption(model_folder: ModelFolder) -> None:
    encoder = TowerWordStates(build_text_tower(f"hf:{model_folder('bert')}"), 8).eval()
    states = encoder(IDS, LENGTHS)
    assert states.shape == (3, 5, 8)
    assert states[2, 3:].abs().max() == 0
    torch.testing.assert_close(states[0].norm(dim=-1), torch.ones(5))


def test_one_vector_a_caption_comes_from_a_text_tower(model_folder: ModelFolder) -> None:
    encoder = TowerCaptionEmbedding(build_text_tower(f"hf:{model_folder('clip')}", pooled=True), 8, absolute=True)
    vectors = encoder.eval()(IDS, LENGTHS)
    assert vectors.min() >= 0
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))
