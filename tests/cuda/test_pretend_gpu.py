"""The pretend GPU refuses what CUDA refuses, and counts what the host waits for."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from tests.cuda.pretend_gpu import pretend_gpu
from tests.cuda.runs import ROOT, train, write_data
from vse.nn import encoders


def test_tensors_on_two_devices_are_refused() -> None:
    with pytest.raises(RuntimeError, match="same device"), pretend_gpu(ROOT):
        torch.arange(3) + torch.ones(3, device="cuda")


def test_backward_pass_on_two_devices_is_refused() -> None:
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * torch.ones(3)

    with pretend_gpu(ROOT):
        result = Bad.apply(torch.ones(3, requires_grad=True).to("cuda")).sum()
        with pytest.raises(RuntimeError, match="same device"):
            result.backward()


def test_gru_is_float16_under_autocast() -> None:
    with pretend_gpu(ROOT):
        gru = nn.GRU(2, 2).to("cuda")
        with torch.autocast("cuda", torch.bfloat16):
            states, _ = gru(torch.ones(3, 1, 2, device="cuda"))
    assert states.dtype == torch.float16


def test_numpy_of_a_tensor_on_the_gpu_is_refused() -> None:
    with pretend_gpu(ROOT), pytest.raises(TypeError, match="host memory"):
        torch.ones(3, device="cuda").numpy()


def test_waits_of_the_host_are_counted_by_kind() -> None:
    with pretend_gpu(ROOT) as seen:
        value = torch.ones(3).to("cuda", non_blocking=True)
        assert not seen.syncs
        value.sum().item()
        value.nonzero()
    assert [kind for kind, _ in seen.syncs] == ["_local_scalar_dense", "nonzero"]


def test_planted_bug_in_an_encoder_ends_a_run(tmp_path: Any) -> None:
    def planted(states: Tensor, lengths: Tensor) -> Tensor:
        return states[:, 0] + torch.zeros(states.shape[-1])

    found = pytest.raises(RuntimeError, match=r"same device.*vse/nn/encoders.py")
    with found, pretend_gpu(ROOT), mock.patch.object(encoders, "last_states", planted):
        train("vsepp", write_data(tmp_path), tmp_path / "run")
