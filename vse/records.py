"""Origin of a result, as every record states it: command line, commit, versions, host and device."""

from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import vse
from vse import REPOSITORY

PATHS = ("data_path", "vocab_path", "logger_name", "model_name", "init_model", "cnn_weights")
"""Options that name a file or folder; a record holds them absolute."""

WITHOUT_EFFECT = frozenset(
    {
        # how often it tells, and what it keeps beside the model
        "log_step", "track", "save_all", "record_val",
        # where and how fast it computes
        "device", "workers", "deterministic", "compile", "features_on_device", "memory_budget", "max_words", "fused",
        # where files lie; what is in them is compared instead
        "data_path", "data_name", "vocab_path", "logger_name", "model_name", "init_model", "img_dim",
        "resume",
    }
)  # fmt: skip
"""Options that change neither the weights of a run nor which of them are chosen."""


def environment(device: torch.device) -> dict[str, Any]:
    """Describe the program and the machine it runs on, as plain values.

    `commit` is that of the checkout that the library was imported from, None where it is not a Git checkout. `dirty`
    tells whether tracked files differ from it.
    """
    commit, dirty = _commit()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "command": ["python", *sys.argv],
        "folder": str(Path.cwd()),
        "commit": commit,
        "dirty": dirty,
        "versions": {
            "vse": vse.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("torch", "numpy")},
        },
        "host": socket.gethostname(),
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _commit() -> tuple[str | None, bool | None]:
    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)

    try:
        found = git("rev-parse", "--show-toplevel", "HEAD")
        lines = found.stdout.splitlines()
        # An installed copy may lie inside a checkout of something else.
        if found.returncode or len(lines) != 2 or Path(lines[0]).resolve() != REPOSITORY:
            return None, None
        return lines[1], git("diff", "--quiet", "HEAD").returncode != 0
    except (OSError, subprocess.SubprocessError):
        return None, None


def flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten groups of options into one dict by option name; paths become absolute.

    Flags have no prefixes, so that a name occurs once.
    """
    result: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            result |= flat(value)
        elif name in PATHS and isinstance(value, str):
            result[name] = str(Path(value).resolve())
        else:
            result[name] = list(value) if isinstance(value, tuple) else value
    return result


def now() -> str:
    """Return the time in UTC, to the second, in ISO form."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Meter:
    """Wall seconds, CPU seconds (with those of ended child processes) and peak memory since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), _cpu_seconds()

    def read(self) -> dict[str, float]:
        """Read it: `wall_seconds`, `cpu_seconds`, `peak_memory_mb` of this process, `peak_gpu_memory_mb` on CUDA."""
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
        used = {
            "wall_seconds": round(time.monotonic() - self._wall, 1),
            "cpu_seconds": round(_cpu_seconds() - self._cpu, 1),
            "peak_memory_mb": round(kilobytes / 1024, 1),
        }
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            used["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return used


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
