"""Halve the number of items per call when memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vse.console import warn
from vse.memory import asked_for, is_lack_of_memory


class Halving:
    """Calls a function on many items at once, and on half as many from then on when memory runs out."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, work: Callable[[slice], None], count: int) -> None:
        """Call `work` on slices that hold the items 0 ... count - 1 in order.

        Raises:
            Exception: of `work`; lack of memory only if it is not enough for a single item.
        """
        start, step = 0, -(-count >> self.times)
        while start < count:
            some = slice(start, min(start + step, count))
            if self._fits(work, some):
                start = some.stop
                continue
            step = -(-(some.stop - some.start) // 2)
            self.times += 1

    def _fits(self, work: Callable[[slice], None], some: slice) -> bool:
        try:
            work(some)
        except Exception as problem:
            if not is_lack_of_memory(problem) or some.stop - some.start == 1:
                raise
            if self.times == 0:
                warn(f"not enough memory{asked_for(problem)}; it goes on with half of it at a time")
        else:
            return True
        if torch.cuda.is_available():  # here the exception no longer keeps the tensors of its frames
            torch.cuda.empty_cache()
        return False
