"""BatchNorm over two processes is BatchNorm1d over the rows of both."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.test_distributed import in_two_processes
from vse.nn.batchnorm import synchronise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh())
    nn.init.uniform_(made[1].get_parameter("weight"))
    nn.init.uniform_(made[1].get_parameter("bias"))
    return made


def results(made: nn.Sequential, rows: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Run two training steps' forward passes, and the backward pass of the second, in float64."""
    made.double()
    rows = rows.requires_grad_()
    made(rows * 2 + 1)
    output = made(rows)
    (output * weights).sum().backward()
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in made.named_parameters()}
    return {"output": output.detach(), "gradient of rows": rows.grad, **gradients, **dict(made[1].named_buffers())}


@pytest.mark.parametrize("shape", [(7, 4), (7, 3, 4)])
def test_two_processes_normalise_as_one_does(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 100
    weights = torch.randn(*shape[:-1], 3, generator=generator, dtype=torch.float64)
    expected = results(network(), rows.clone(), weights)

    def work(rank: int) -> None:
        own = (slice(0, 5), slice(5, 7))[rank]
        made = network()
        names = list(made.state_dict())
        synchronise(made)
        assert list(made.state_dict()) == names
        torch.save(results(made, rows[own].clone(), weights[own]), tmp_path / f"{rank}.pt")

    assert in_two_processes(tmp_path, work) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, whole in expected.items():
        if name in ("output", "gradient of rows"):
            found = torch.cat([first[name], second[name]])
        elif name.startswith("gradient"):
            found = first[name] + second[name]
        else:
            torch.testing.assert_close(first[name], second[name])
            found = first[name]
        torch.testing.assert_close(found, whole, msg=name)


def test_half_precision_keeps_its_type(tmp_path: Path) -> None:
    def work(_rank: int) -> None:
        made = nn.BatchNorm1d(3)
        synchronise(made)
        assert made(torch.randn(4, 3).bfloat16()).dtype == torch.bfloat16

    assert in_two_processes(tmp_path, work) == [0, 0]


def test_evaluation_takes_the_running_statistics() -> None:
    made = nn.BatchNorm1d(3).eval()
    rows = torch.randn(4, 3)
    expected = made(rows)
    synchronise(made)
    torch.testing.assert_close(made(rows), expected, rtol=0, atol=0)
