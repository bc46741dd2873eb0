"""What the benchmarks share: runs of an experiment, the two procedures, memory, the machine's rate, captions."""

from __future__ import annotations

import contextlib
import ctypes
import math
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from vse.errors import InputError
from vse.memory import keep_freed
from vse.nn.recurrence import GRU
from vse.tools.plans import Task, read_plan, tasks_of

PROCEDURES = ("original", "ours")
"""The sequence of operations of the original code, written for the benchmarks from its description; and ours."""


def finished_runs(folder: Path) -> list[Task]:
    """List the training runs of an experiment on one data set, all of which must have ended.

    Raises:
        InputError: there are several data sets, whose rows have equal names, or a run has not ended.
    """
    tasks = [task for task in tasks_of(read_plan(folder / "plan.toml", str(folder))) if task.row and task.train]
    data = sorted({task.data for task in tasks})
    if len(data) > 1:
        raise InputError(f"{folder}: an experiment on {', '.join(data)}; expected one data set")
    missing = [task.name for task in tasks if not task.result.exists()]
    if missing:
        raise InputError(f"{folder}: {len(missing)} of {len(tasks)} runs have not ended, {missing[0]} first; finish it")
    return tasks


@contextlib.contextmanager
def with_grus_of(procedure: str) -> Iterator[None]:
    """Within the original procedure, GRUs are `torch.nn.GRU`, and read the vector of each occurrence of a word."""

    def read_words(rnn: GRU, words: PackedSequence, embed: nn.Embedding) -> PackedSequence:
        return nn.GRU.forward(rnn, words._replace(data=embed(words.data)))[0]

    original = mock.patch.multiple(GRU, forward=nn.GRU.forward, read_words=read_words)
    with original if procedure == "original" else contextlib.nullcontext():
        yield


def memory_of(procedure: str) -> None:
    """Set this process's memory up as the procedure does: ours keeps what is freed for the next tensors."""
    if procedure == "ours":
        keep_freed("cpu")


def adam_of(procedure: str, groups: list[dict[str, Any]]) -> torch.optim.Adam:
    """Adam as the procedure uses it: ours updates all parameters of a group in one kernel."""
    return torch.optim.Adam(groups, fused=procedure == "ours")


def reset_peak_memory() -> int:
    """Resident KiB now; where the system can (Linux), freed memory is returned first and the peak counted from here."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_memory_since(before: int) -> float:
    """MB between what `reset_peak_memory` gave and the process's peak."""
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def product_rate(rows: int, inner: int, columns: int) -> float:
    """Best GFLOP per CPU second of this process on a matrix product of this size, of ten."""
    left, right = torch.randn(rows, inner), torch.randn(columns, inner).T
    best = float("inf")
    for _ in range(10):
        start = time.process_time()
        left @ right
        best = min(best, time.process_time() - start)
    return 2 * rows * inner * columns / best / 1e9


def random_words(*shape: int, vocabulary: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw ids 4 ... vocabulary - 1, a word's share falling with its rank by Zipf's law.

    With an exponent of 1.1, the captions of a batch have as many distinct words as those of Flickr30K or MS-COCO, about
    a third of the words.
    """
    shares = torch.arange(1.0, vocabulary - 3) ** -1.1
    return 4 + torch.multinomial(shares, math.prod(shape), replacement=True, generator=generator).view(shape)


def random_captions(count: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Ids [count, T] and lengths [count], 14 words on average, longest first."""
    lengths = (2 + torch.poisson(torch.full((count,), 12.2))).long().sort(descending=True).values
    ids = random_words(count, int(lengths[0]), vocabulary=vocabulary)
    return ids * (torch.arange(ids.shape[1]) < lengths[:, None]), lengths
