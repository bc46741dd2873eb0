"""An exponential moving average of a network's weights, to evaluate with (`--ema`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vse.errors import InputError


class WeightAverage:
    """Average of the weights after every step: average <- d average + (1 - d) weights.

    In the n-th update d is min(decay, n / (n + 9)), so that the first weights are soon forgotten. BatchNorm's
    statistics are averaged too; integers are not. Make it once the network is on its device.

    Args:
        decay: in (0, 1), of the later updates.

    Raises:
        InputError: another decay.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise InputError(f"--ema {decay}: expected a number between 0 and 1, such as 0.999; 0 keeps no average")
        self.decay, self.updates, self.exchanged = decay, 0, False
        whole = network.state_dict(keep_vars=True)
        # One weight may have several names (tied weights).
        self.place = {name: id(tensor) for name, tensor in whole.items() if tensor.is_floating_point()}
        self.weights = {id(tensor): tensor.data for tensor in whole.values() if tensor.is_floating_point()}
        self.averages = {place: weight.clone() for place, weight in self.weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights; call it after each optimizer step."""
        self.updates += 1
        share = 1 - min(self.decay, self.updates / (self.updates + 9))
        torch._foreach_lerp_(list(self.averages.values()), list(self.weights.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the network the averages for a while; afterwards it has its weights again, bit by bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        self.exchanged = not self.exchanged
        for place, weight in self.weights.items():
            kept = weight.clone()
            weight.copy_(self.averages[place])
            self.averages[place].copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on exactly; `weights` are by the network's names."""
        assert not self.exchanged, "the network holds the averages now"
        return {"updates": self.updates, "weights": {name: self.averages[place] for name, place in self.place.items()}}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a saved average.

        Raises:
            KeyError: the average is of another network.
        """
        if state["weights"].keys() != self.place.keys():
            raise KeyError("the average is of another network")
        self.updates = int(state["updates"])
        for name, place in self.place.items():
            self.averages[place].copy_(state["weights"][name])


def averaged(model: Mapping[str, Tensor], average: Mapping[str, Any] | None) -> dict[str, Tensor]:
    """The state dict to evaluate with: `model`, with the averages where a checkpoint has them.

    Args:
        model: the network's state dict.
        average: what `WeightAverage.state_dict` gave, or None.
    """
    return {**model, **(average["weights"] if average is not None else {})}
