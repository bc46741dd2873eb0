"""Optimizers and schedules: towers' own rates, warm-up, decays, and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from vse.errors import InputError
from vse.nn.towers.options import TowerOptions
from vse.nn.towers.tower import build_image_tower
from vse.training.optimizers import OptimizerOptions, learning_rate_factor, make_optimizer, parameter_groups

pytest.importorskip("timm")


def network(trained: str | int) -> nn.Module:
    tower = build_image_tower("timm:test_vit", pretrained=False, trained=trained)  # type: ignore[arg-type]
    return nn.ModuleDict({"tower": tower, "head": nn.Linear(4, 2)})


def test_a_towers_parameters_get_rates_of_their_own() -> None:
    module = network("all")
    whole = [{"params": list(module.parameters()), "lr": 0.01, "name": "images"}]
    options = TowerOptions(image_tower_lr=0.1, layer_decay=0.5)
    groups = parameter_groups(whole, module, 0.01, options)
    assert groups[0]["params"] == list(module["head"].parameters())
    assert (groups[0]["lr"], groups[0]["name"]) == (0.01, "images")
    assert groups[-1]["lr"] == pytest.approx(0.001)
    assert groups[-2]["lr"] == pytest.approx(0.0005)
    listed = [parameter for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed)) == len([p for p in module.parameters() if p.requires_grad])


def test_a_frozen_tower_has_no_group() -> None:
    module = network("none")
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = parameter_groups([{"params": trained, "lr": 0.01}], module, 0.01, TowerOptions())
    assert len(groups) == 1


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_decay_weights_and_keep_a_groups_own_decay(name: str, fused: bool) -> None:
    decayed, kept = (nn.Parameter(torch.ones(3)) for _ in range(2))
    groups = [{"params": [decayed], "lr": 0.1}, {"params": [kept], "lr": 0.1, "weight_decay": 0.0}]
    optimizer = make_optimizer(groups, OptimizerOptions(optimizer=name, weight_decay=0.1, fused=fused))  # type: ignore[arg-type]
    decayed.grad, kept.grad = torch.zeros(3), torch.zeros(3)
    optimizer.step()
    assert (decayed < 1).all()
    assert (kept == 1).all()


def test_a_parameter_that_is_listed_twice_is_updated_twice() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    groups = [{"params": [parameter, parameter], "lr": 0.1}]
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = make_optimizer(groups, OptimizerOptions(optimizer="sgd"))
    parameter.grad = torch.ones(1)
    optimizer.step()
    assert parameter.item() < -0.15
    with pytest.raises(InputError, match="--fused"):
        make_optimizer(groups, OptimizerOptions(fused=True))


def rates(options: OptimizerOptions, epochs: int = 10, steps: int = 4, lr_update: int = 3) -> list[float]:
    factor = learning_rate_factor(options, lr_update, epochs, steps)
    return [factor(step / steps) for step in range(epochs * steps)]


def test_steps_divide_by_ten() -> None:
    assert rates(OptimizerOptions())[:25:4] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_milestones_multiply_where_they_stand() -> None:
    found = rates(OptimizerOptions(schedule="milestones", lr_milestones=(2, 5), lr_decay=0.3))
    assert found[7:9] == pytest.approx([1, 0.3])
    assert found[19:21] == pytest.approx([0.3, 0.09])
    assert found[-1] == pytest.approx(0.09)


def test_cosine_falls_from_one_to_almost_nothing_after_a_linear_warm_up() -> None:
    found = rates(OptimizerOptions(schedule="cosine", warmup_steps=4))
    assert found[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert found[4 + 18] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(found[4:]))
    assert 0 < found[-1] < 0.01


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"schedule": "milestones"}, "belong together"),
        ({"lr_milestones": (2,)}, "belong together"),
        ({"schedule": "milestones", "lr_milestones": (5, 2)}, "--lr_milestones 5 2: expected ascending"),
        ({"schedule": "milestones", "lr_milestones": (10,)}, "between 1 and 9"),
        ({"warmup_steps": 40}, "the run has 40 steps"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        rates(replace(OptimizerOptions(), **changed))  # type: ignore[arg-type]
