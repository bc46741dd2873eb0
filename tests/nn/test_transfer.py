"""What is sent to a device arrives, and the host's page-locked memory is used for CUDA only."""

from __future__ import annotations

from typing import Any, cast

import torch

from vse.nn.transfer import send


class HostTensor:
    """A tensor of the host that notes how it is copied."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.done: list[Any] = []

    def pin_memory(self) -> HostTensor:
        self.done.append("pinned")
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> HostTensor:
        self.done.append((device.type, non_blocking))
        return self


def test_what_is_there_already_is_not_copied() -> None:
    tensor = torch.arange(3)
    assert send(tensor, torch.device("cpu")) is tensor


def test_a_copy_to_cuda_makes_the_host_wait_for_nothing() -> None:
    tensor = HostTensor()
    send(cast(torch.Tensor, tensor), torch.device("cuda"))
    assert tensor.done == ["pinned", ("cuda", True)]


def test_other_devices_need_no_page_locked_memory() -> None:
    tensor = HostTensor()
    send(cast(torch.Tensor, tensor), torch.device("mps"))
    assert tensor.done == [("mps", False)]
