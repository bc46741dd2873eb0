"""Tracking services for a run's metrics: one small adapter for each, which is imported when it is used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from vse.console import warn
from vse.errors import InputError

PROJECT = "vse"


class Tracker(Protocol):
    """A tracking service."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send the numbers of a step."""

    def close(self) -> None:
        """Send what is left and end."""


class _Wandb:
    def __init__(self, library: Any, folder: Path, options: Mapping[str, Any]) -> None:
        self._run = library.init(project=PROJECT, name=folder.name, dir=str(folder), config=dict(options))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, library: Any, folder: Path, options: Mapping[str, Any]) -> None:
        self._library = library
        library.set_experiment(PROJECT)
        library.start_run(run_name=folder.name)
        library.log_params(dict(options))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log_metrics(dict(values), step=step)

    def close(self) -> None:
        self._library.end_run()


class _Trackio:
    def __init__(self, library: Any, folder: Path, options: Mapping[str, Any]) -> None:
        self._library = library
        library.init(project=PROJECT, name=folder.name, config=dict(options))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log(dict(values), step=step)

    def close(self) -> None:
        self._library.finish()


TRACKERS: dict[str, Callable[[Any, Path, Mapping[str, Any]], Tracker]] = {
    "wandb": _Wandb,
    "mlflow": _Mlflow,
    "trackio": _Trackio,
}
"""Values of `--track`, which are also the names of the libraries."""


def check_tracker(name: str | None) -> None:
    """Refuse a service whose library is not installed, before a run writes anything.

    Raises:
        InputError: which one to install.
    """
    if name is not None and importlib.util.find_spec(name) is None:
        raise InputError(f"--track {name}: not installed; pip install {name}, or leave the flag out")


def open_tracker(name: str, folder: Path, options: Mapping[str, Any]) -> Tracker | None:
    """Begin to track a run under the name of its folder; None, with a warning, if the service cannot be reached."""
    try:
        return TRACKERS[name](importlib.import_module(name), folder, options)
    except Exception as problem:
        warn(f"--track {name}: cannot begin ({problem}); the run goes on without it")
        return None
