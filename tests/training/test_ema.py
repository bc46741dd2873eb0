"""The moving average of weights: the formula, what evaluation sees, and going on exactly."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from vse.errors import InputError
from vse.training.ema import WeightAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def steps(module: nn.Module, average: WeightAverage, count: int, seed: int = 0) -> None:
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        optimizer.zero_grad()
        module(torch.randn(5, 3, generator=generator)).square().sum().backward()
        optimizer.step()
        average.update()


def test_the_average_follows_the_formula() -> None:
    module = network()
    average = WeightAverage(module, 0.5)
    expected = module[0].weight.detach().clone()
    for update in range(1, 20):
        steps(module, average, 1, seed=update)
        decay = min(0.5, update / (update + 9))
        expected = decay * expected + (1 - decay) * module[0].weight.detach()
        torch.testing.assert_close(average.model()["0.weight"], expected)
    assert not torch.equal(average.model()["1.running_mean"], module.state_dict()["1.running_mean"])
    assert average.model()["1.num_batches_tracked"] == 19


def test_a_step_that_was_not_made_leaves_the_average() -> None:
    module = network()
    average = WeightAverage(module, 0.5)
    steps(module, average, 3)
    before = average.model()["0.weight"].clone()
    module[0].weight.data += 1
    average.update(torch.tensor(1.0))
    assert torch.equal(average.model()["0.weight"], before)
    assert average.state_dict()["updates"] == 3


def test_evaluation_sees_the_average_training_the_weights() -> None:
    module = network()
    average = WeightAverage(module, 0.9)
    steps(module, average, 5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pointers = [parameter.data_ptr() for parameter in module.parameters()]
    expected = average.model()["0.weight"].clone()
    with average.in_place():
        assert torch.equal(module[0].weight, expected)
    assert not torch.equal(before["0.weight"], expected)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert pointers == [parameter.data_ptr() for parameter in module.parameters()]


def test_weights_come_back_when_evaluation_fails() -> None:
    module = network()
    average = WeightAverage(module, 0.9)
    steps(module, average, 3)
    before = module[0].weight.detach().clone()
    with pytest.raises(ZeroDivisionError), average.in_place():
        _ = 1 / 0
    assert torch.equal(module[0].weight, before)


def test_a_resumed_average_goes_on_to_the_same_bits() -> None:
    module = network()
    average = WeightAverage(module, 0.9)
    steps(module, average, 4)
    file = io.BytesIO()
    torch.save({"model": average.model(), "average": average.state_dict()}, file)
    steps(module, average, 4, seed=1)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = network()
    again.load_state_dict(saved["model"])
    resumed = WeightAverage(again, 0.9)
    resumed.resume(saved["average"])
    steps(again, resumed, 4, seed=1)
    for expected, found in ((average.model(), resumed.model()), (module.state_dict(), again.state_dict())):
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    with pytest.raises(KeyError):
        resumed.resume({"updates": 1, "weights": {}})


def test_tied_weights_are_exchanged_once() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    average = WeightAverage(module, 0.9)
    with torch.no_grad():
        module[0].weight.zero_()
    average.update()
    with average.in_place():
        assert module[1].weight.abs().max() > 0
        with pytest.raises(AssertionError):
            average.model()
    assert module[1].weight.abs().max() == 0
    names = average.model()
    assert torch.equal(names["0.weight"], names["1.weight"])


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0])
def test_a_decay_outside_0_and_1_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match=f"--ema {decay}"):
        WeightAverage(network(), decay)
