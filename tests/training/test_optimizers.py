"""Optimizers: towers' own rates, weight decay, one-kernel updates, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vse.errors import InputError
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.nn.network import EmbeddingNetwork
from vse.nn.towers.tower import build_image_tower
from vse.options import TrainingOptions
from vse.training.optimizers import distinct, make_optimizer, update, with_towers
from vse.training.recipe import adam

pytest.importorskip("timm")


OBJECTIVE = build_objective(resolve(ObjectiveOptions(loss="sum_hinge")))


class Network(EmbeddingNetwork):
    """A network of two linear layers."""

    def __init__(self, trained: str | int | None = None, twice: bool = False) -> None:
        super().__init__()
        self.image_encoder, self.caption_encoder = nn.Linear(4, 2), nn.Linear(4, 2)
        if trained is not None:
            tower = build_image_tower("timm:test_vit", pretrained=False, trained=trained)  # type: ignore[arg-type]
            tower.rate, tower.layer_decay = 0.1, 0.5
            self.image_tower = tower
        self.twice = twice

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        groups = super().parameter_groups(learning_rate)
        return [{**group, "params": group["params"] * 2} for group in groups] if self.twice else groups


def test_a_towers_parameters_get_rates_of_their_own() -> None:
    network = Network("all")
    groups = with_towers(network.parameter_groups(0.01), network, 0.01)
    assert groups[0]["params"] == [*network.caption_encoder.parameters(), *network.image_encoder.parameters()]
    assert groups[0]["lr"] == 0.01
    assert groups[-1]["lr"] == pytest.approx(0.001)
    assert groups[-2]["lr"] == pytest.approx(0.0005)
    listed = [parameter for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed)) == len([p for p in network.parameters() if p.requires_grad])


def test_a_frozen_tower_has_no_group() -> None:
    network = Network("none")
    assert len(with_towers(network.parameter_groups(0.01), network, 0.01)) == 1


def test_the_original_optimizer_gives_towers_their_rates_too() -> None:
    network = Network("all")
    optimizer = make_optimizer(network, OBJECTIVE, TrainingOptions(learning_rate=0.01), adam)
    assert [group["lr"] for group in optimizer.param_groups][-1] == pytest.approx(0.001)
    with pytest.raises(InputError, match="--weight_decay: give --optimizer"):
        make_optimizer(network, OBJECTIVE, TrainingOptions(weight_decay=0.1), adam)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_decay_weights(name: str) -> None:
    network = Network()
    options = TrainingOptions(optimizer=name, weight_decay=0.1, learning_rate=0.001)  # type: ignore[arg-type]
    optimizer = make_optimizer(network, OBJECTIVE, options, adam)
    before = [parameter.abs().sum().item() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = [parameter.abs().sum().item() for parameter in network.parameters()]
    assert all(later < earlier for earlier, later in zip(before, after, strict=True))


def trained(kind: str, twice: bool, spoilt: tuple[int, ...] = (), fused: bool = True) -> list[torch.Tensor]:
    """Weights after five updates with given gradients, some of which are spoilt."""
    torch.manual_seed(0)
    network = Network(twice=twice)
    options = TrainingOptions(optimizer=kind, weight_decay=0.01, learning_rate=0.01)  # type: ignore[arg-type]
    optimizer = make_optimizer(network, OBJECTIVE, options, adam)
    if not fused:
        for group in optimizer.param_groups:
            group |= {"fused": None, "foreach": False}
    generator = torch.Generator().manual_seed(1)
    for number in range(5):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        if number in spoilt:
            for parameter in network.parameters():
                parameter.grad = torch.full_like(parameter, torch.nan)
        if fused:
            update(optimizer, torch.tensor(float(number in spoilt)))
        elif number not in spoilt:
            optimizer.step()
    return [parameter.detach() for parameter in network.parameters()]


@pytest.mark.parametrize(("kind", "twice"), [("adam", False), ("adam", True), ("adamw", True), ("sgd", False)])
def test_one_kernel_updates_as_tensor_by_tensor(kind: str, twice: bool) -> None:
    torch.testing.assert_close(trained(kind, twice), trained(kind, twice, fused=False))


@pytest.mark.parametrize(("kind", "twice"), [("adam", False), ("adam", True), ("adamw", True), ("sgd", False)])
def test_spoilt_steps_leave_no_trace(kind: str, twice: bool) -> None:
    torch.testing.assert_close(trained(kind, twice, (0, 3)), trained(kind, twice, (0, 3), fused=False))


def test_a_spoilt_step_changes_no_bit() -> None:
    network = Network()
    optimizer = make_optimizer(network, OBJECTIVE, TrainingOptions(optimizer="adamw", learning_rate=0.01), adam)
    before = [parameter.clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.inf)
    update(optimizer, torch.tensor(1.0))
    assert all(map(torch.equal, before, network.parameters()))


def test_parameters_are_split_by_how_often_they_are_listed() -> None:
    a, b, c = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    turns = distinct([a, b, c, b, c, b])
    assert [[id(parameter) for parameter in turn] for turn in turns] == [
        [id(a), id(b), id(c)],
        [id(b), id(c)],
        [id(b)],
    ]
