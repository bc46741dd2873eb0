"""Tensors that an objective keeps between steps and in checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """A module whose named tensors are saved, loaded and moved with it, whatever their current size.

    They are extra state instead of buffers: a buffer cannot change its size between saving and loading, and
    DistributedDataParallel would send it to every process at every step.

    Args:
        names: attributes that hold the tensors.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {name: getattr(self, name) for name in self.names}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take the tensors of a checkpoint, on the device where they are now."""
        for name in self.names:
            setattr(self, name, state[name].to(getattr(self, name).device, copy=True))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Memory:
        super()._apply(fn, recurse)
        for name in self.names:
            setattr(self, name, fn(getattr(self, name)))
        return self


class CaptionMemory(Memory):
    """One number for every training caption, 1 until it is changed.

    Args:
        value: initial value.
    """

    def __init__(self, value: float = 1.0) -> None:
        super().__init__("values")
        self.value = value
        self.values = torch.empty(0)  # [training captions] float32

    def resize(self, count: int) -> None:
        """Make room for so many captions; those that are there keep their numbers."""
        if count > len(self.values):
            self.values = torch.cat((self.values, self.values.new_full((count - len(self.values),), self.value)))

    def __getitem__(self, caption_ids: Tensor) -> Tensor:
        """Return the numbers of captions [B], a copy."""
        return self.values[caption_ids]

    def __setitem__(self, caption_ids: Tensor, values: Tensor) -> None:
        """Replace the numbers of captions [B]."""
        self.values[caption_ids] = values.detach().to(self.values.dtype)


class Queue(Memory):
    """The embeddings of the last pairs, newest first, as two matrices [up to `size`, D]."""

    def __init__(self, size: int) -> None:
        super().__init__("images", "captions")
        self.size = size
        self.images = torch.empty(0, 0)
        self.captions = torch.empty(0, 0)

    def __len__(self) -> int:
        return len(self.images)

    def push(self, images: Tensor, captions: Tensor) -> None:
        """Remember a batch of embeddings [B, D] twice and forget the oldest beyond `size`."""
        if not len(self):
            self.images, self.captions = images[:0].detach(), captions[:0].detach()
        self.images = torch.cat((images.detach(), self.images))[: self.size]
        self.captions = torch.cat((captions.detach(), self.captions))[: self.size]
