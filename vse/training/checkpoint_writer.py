"""Checkpoints written in a thread while training goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vse import checkpoints
from vse.checkpoints import Checkpoint

SAVE_EVERY = 180.0
"""Seconds after which a checkpoint is due."""


class CheckpointWriter:
    """Write checkpoints in order from copies in the host's memory; the next call raises a failure."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last checkpoint, or the run's start, is `SAVE_EVERY` seconds ago."""
        return time.monotonic() - self._last >= SAVE_EVERY

    def write(self, path: Path, checkpoint: Checkpoint, best: Path | None = None) -> None:
        """Copy a checkpoint, whose tensors may change as soon as this returns, and let the thread save it.

        See `vse.checkpoints.save` for the arguments.

        Raises:
            InputError: the checkpoint before it could not be written.
        """
        self.wait()
        self._last = time.monotonic()
        self._pending = self._thread.submit(checkpoints.save, path, _on_host(checkpoint), best)

    def wait(self) -> None:
        """Wait until the last checkpoint is written.

        Raises:
            InputError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Wait until the thread has nothing more to write, and end it."""
        self._thread.shutdown()


def _on_host(value: Any) -> Any:
    """Copy a nested value, its tensors to the host's memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{entry.name: _on_host(getattr(value, entry.name)) for entry in fields(value)})
    if isinstance(value, Mapping):
        return {key: _on_host(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_host(entry) for entry in value)
    return value
