"""Freed memory is kept, and errors for lack of memory are recognised and say what was asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vse.memory import asked_for, is_lack_of_memory

CPU = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "4000000000 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 1.19 GiB is "
    "free. Process 1 has 77.92 GiB memory in use."
)


@pytest.mark.parametrize(
    ("problem", "clause"),
    [
        (RuntimeError(CPU), ", 3.7 GiB were asked for"),
        (torch.OutOfMemoryError(CUDA), ", 20.0 MiB were asked for and 1.19 GiB were free"),
        (MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,)"), ", 7.5 GiB were asked for"),
        (MemoryError(), ""),
    ],
)
def test_lack_of_memory_says_what_was_asked_for(problem: Exception, clause: str) -> None:
    assert is_lack_of_memory(problem)
    assert asked_for(problem) == clause


@pytest.mark.parametrize("problem", [RuntimeError("shapes differ"), ValueError("out of range"), KeyError("memory")])
def test_other_errors_are_no_lack_of_memory(problem: Exception) -> None:
    assert not is_lack_of_memory(problem)


FAULTS = """
import resource, sys, torch
from vse.memory import keep_freed
keep_freed(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(int(sys.argv[2]), 2**18)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only the GNU C library is told")
@pytest.mark.parametrize(("device", "megabytes", "kept"), [("cpu", 64, True), ("cpu", 256, False), ("cuda", 64, False)])
def test_the_next_tensor_takes_the_memory_that_was_freed(device: str, megabytes: int, kept: bool) -> None:
    command = [sys.executable, "-c", FAULTS, device, str(megabytes)]
    cleared = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (cleared < 10 * megabytes) == kept
