"""An exponential moving average of a network's weights, for evaluation (`--ema`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vse.errors import InputError


class WeightAverage:
    """Average of the weights after every step: average <- d average + (1 - d) weights.

    In the n-th update, d is min(decay, n / (n + 9)), which soon forgets the first weights. BatchNorm's
    statistics are averaged too; integers are not. Make it once the network is on its device.

    Args:
        decay: in (0, 1), of the later updates.

    Raises:
        InputError: another decay.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise InputError(f"--ema {decay}: expected a number between 0 and 1, such as 0.999; 0 keeps no average")
        self.network, self.decay, self.exchanged = network, decay, False
        whole = network.state_dict(keep_vars=True)
        # One weight may have several names (tied weights).
        self.place = {name: id(tensor) for name, tensor in whole.items() if tensor.is_floating_point()}
        self.weights = {id(tensor): tensor.data for tensor in whole.values() if tensor.is_floating_point()}
        self.averages = {place: weight.clone() for place, weight in self.weights.items()}
        # On the device, which alone knows whether a step was made.
        self.updates = torch.zeros((), device=next(iter(self.weights.values())).device)

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew from the network's weights as they are now."""
        self.updates.zero_()
        for place, weight in self.weights.items():
            self.averages[place].copy_(weight)

    @torch.no_grad()
    def update(self, spoilt: Tensor | float = 0.0) -> None:
        """Take in the network's weights; call it after each optimizer step.

        Args:
            spoilt: 1 if the step was not made: then the average stays as it is.
        """
        self.updates += 1 - spoilt
        share = (1 - spoilt) * (1 - (self.updates / (self.updates + 9)).clamp(max=self.decay))
        averages = list(self.averages.values())
        changes = torch._foreach_sub(list(self.weights.values()), averages)
        torch._foreach_mul_(changes, share)
        torch._foreach_add_(averages, changes)

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

    def model(self) -> dict[str, Tensor]:
        """Return the network's state dict with the averages in it, to evaluate with."""
        assert not self.exchanged, "the network holds the averages now"
        return {**self.network.state_dict(), **{name: self.averages[place] for name, place in self.place.items()}}

    def state_dict(self) -> dict[str, Any]:
        """Return what `resume` needs: the number of updates, and the network's weights, which `model` replaces."""
        assert not self.exchanged, "the network holds the averages now"
        return {
            "updates": int(self.updates),
            "weights": {name: self.weights[place] for name, place in self.place.items()},
        }

    @torch.no_grad()
    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where an average stood, once its `model` is loaded into the network.

        Args:
            state: its `state_dict`.

        Raises:
            KeyError, RuntimeError: the average is of another network.
        """
        self.restart()
        self.updates.fill_(int(state["updates"]))
        for name, place in self.place.items():
            self.weights[place].copy_(state["weights"][name])
