"""What a network's training does unless its recipe says otherwise."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from torch import nn

from vse.losses import InfoNCE, MaxHinge
from vse.nn.network import EmbeddingNetwork
from vse.options import TrainingOptions
from vse.training.recipe import FIRST_RECALLS, RSUM, adam, step_decay


class Network(EmbeddingNetwork):
    """Two linear layers, the first one listed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder, self.caption_encoder = nn.Linear(4, 2), nn.Linear(4, 2)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        groups = super().parameter_groups(learning_rate)
        groups[0]["params"] += list(self.image_encoder.parameters())
        return groups


def test_learned_parameters_of_an_objective_get_a_group() -> None:
    objective, options = InfoNCE(), TrainingOptions(learning_rate=0.01)
    groups = adam(Network(), objective, options).param_groups
    assert groups[-1]["params"] == list(objective.parameters())
    assert groups[-1]["lr"] == 0.01
    assert len(adam(Network(), MaxHinge(), options).param_groups) == len(groups) - 1


def test_a_parameter_listed_twice_is_kept_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (group,) = adam(Network(), MaxHinge(), TrainingOptions()).param_groups
    assert len(group["params"]) == 6


def test_the_rate_falls_to_a_tenth_after_every_lr_update_epochs() -> None:
    factor = step_decay(TrainingOptions(lr_update=2))
    assert [factor(epoch) for epoch in (0, 1.99, 2, 3.5, 4)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_the_best_model_is_chosen_by_its_recalls() -> None:
    metrics = {"r1": 1.0, "r5": 2.0, "r10": 4.0, "r1i": 8.0, "r5i": 16.0, "r10i": 32.0, "rsum": 63.0}
    assert (RSUM.score(metrics), FIRST_RECALLS.score(metrics)) == (63, 27)
