"""The record of a training run, which a stranger can audit: `run.json`, in the run folder and in every checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vse import checkpoints
from vse.checkpoints import Checkpoint
from vse.data.datasets import Split
from vse.data.digests import describe_array, describe_split
from vse.data.noise import Noise
from vse.errors import InputError
from vse.evaluation.reports import save_json
from vse.files import read_json
from vse.losses import read_saved
from vse.losses.table import canonical_name
from vse.options import as_dict
from vse.records import WITHOUT_EFFECT, Meter, environment, flat, now
from vse.training.schedules import depends_on_length

MAY_CHANGE = WITHOUT_EFFECT | {"num_epochs", "val_step", "early_stopping"}
"""Options that a resumed run may have other values of: how long it trains and how often it validates."""

ABSENT = "not recorded"

_READ: dict[str, Any] = {
    "options": dict[str, Any],
    "environment": dict[str, Any],
    "selected_by": str,
    "best_epoch": int | None,
    "cpu_seconds": float,
    "wall_seconds": float,
    "peak_memory_mb": float,
}
_READ_OF_ENVIRONMENT: dict[str, Any] = {
    "command": list[str],
    "commit": str | None,
    "dirty": bool | None,
    "host": str,
    "device_name": str,
}
"""Entries of `run.json` that reports read, and their types."""


class OptionChange(NamedTuple):
    """An option that a resumed run would change."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} {_short(self.before)}, now {_short(self.now)}"


def make_record(
    network: str,
    options: Any,
    train: Split,
    dev: Split,
    device: torch.device,
    *,
    vocabulary: Mapping[str, Any],
    descriptions: np.ndarray | None = None,
    noise: Noise | None = None,
    selected_by: str = "rsum",
    started_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the record of a run that is about to start, as plain values; it writes nothing.

    Args:
        options: the script's options with every constant resolved, a dataclass (of groups) or a dict.
        vocabulary: its plain values as in a checkpoint (`to_state`); their number of words and digest are recorded.
        descriptions: [captions, K] description vectors that the objective reads.
        noise: training pairs that do not match.
        selected_by: name of the score on dev that chooses the best model.
        started_from: what `--init_model` gave, see `describe_start`.
    """
    values = flat(options if isinstance(options, Mapping) else as_dict(options))
    return {
        "kind": "training",
        "network": network,
        "options": values,
        "seed": values.get("seed"),
        "data": {"train": describe_split(train), "dev": describe_split(dev)},
        "descriptions": None if descriptions is None else describe_array(descriptions),
        "noise": None if noise is None else noise.describe(),
        "vocabulary": {"words": len(vocabulary.get("words", ())), "sha256": _sha256(vocabulary)},
        "started_from": None if started_from is None else dict(started_from),
        "environment": environment(device),
        "started": now(),
        "ended": None,
        "starts": 1,
        "wall_seconds": 0.0,
        "cpu_seconds": 0.0,
        "peak_memory_mb": 0.0,
        "selected_on": "dev",
        "selected_by": selected_by,
        "best_score": None,
        "best_epoch": None,
        "best_step": None,
    }


def describe_start(checkpoint: Checkpoint) -> dict[str, Any]:
    """Describe the checkpoint that a run begins with (`--init_model`), for its record.

    `record` is None for a checkpoint that has none: one of the original code, or of an earlier version.
    """
    weights = checkpoints.digest(checkpoint.parts)
    return {"path": str(checkpoint.path.resolve()), "weights_sha256": weights, "record": checkpoint.record}


class RunRecord:
    """A run's record while it runs: its times, memory and best model are kept up to date.

    Args:
        content: result of `make_record`.
        earlier: record of the checkpoint that the run resumes from; times are added to its times.
    """

    def __init__(self, content: dict[str, Any], earlier: Mapping[str, Any] | None = None) -> None:
        self.content, self._meter = content, Meter()
        self._before = {"wall_seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mb": 0.0}
        if earlier is not None:
            kept = ("started", "started_from", "best_score", "best_epoch", "best_step")
            content.update({name: earlier[name] for name in kept})
            content["starts"] = earlier["starts"] + 1
            self._before = {name: earlier[name] for name in self._before}

    def note_best(self, score: float, epoch: int, step: int) -> None:
        """Note the best model so far: its selection score on dev, its epoch from 1, and its step."""
        self.content.update(best_score=score, best_epoch=epoch, best_step=step)

    def forget_best(self) -> None:
        """Forget the best model so far, which is lost."""
        self.content.update(best_score=None, best_epoch=None, best_step=None)

    def current(self, ended: bool = False) -> dict[str, Any]:
        """Return the record as of now, for a checkpoint; `ended` says that the run came to its end."""
        used = self._meter.read()
        for name, before in self._before.items():
            used[name] = max(used[name], before) if name == "peak_memory_mb" else round(used[name] + before, 1)
        return {**self.content, **used, "ended": now() if ended else None}

    def save(self, folder: Path, ended: bool = False) -> None:
        """Write `run.json`; the file appears whole or not at all."""
        save_json(folder / "run.json", self.current(ended))


def read_record(path: Path) -> dict[str, Any]:
    """Read a `run.json`.

    Raises:
        InputError: it cannot be read, is not JSON, or lacks what a report needs.
    """
    record = read_json(path)
    if not (_has(record, _READ) and _has(record["environment"], _READ_OF_ENVIRONMENT)):
        raise InputError(f"{path}: not the record of a run, or damaged; move its folder away to train it anew")
    return dict(record)


def _has(content: Any, types: Mapping[str, Any]) -> bool:
    """Return whether a mapping has entries of these types."""
    try:
        for name, kind in types.items():
            check_type(content[name], kind, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except (TypeCheckError, TypeError, KeyError, IndexError):
        return False
    return True


def differences(earlier: Mapping[str, Any], record: Mapping[str, Any]) -> list[OptionChange]:
    """List what a resumed run would do differently from its earlier part.

    `MAY_CHANGE` lists the options that may differ; `num_epochs` may not under a schedule that depends on it. Data,
    vocabulary, description vectors and an index of noise are compared by their digests, not by where they lie.

    Args:
        earlier: the record in the checkpoint.
        record: the record of the run that wants to go on.
    """
    compared = [("network", earlier["network"], record["network"])]
    before, values = read_saved(earlier["options"]), record["options"]
    free = MAY_CHANGE - {"num_epochs"} if depends_on_length(values) else MAY_CHANGE
    if record["noise"] is not None and earlier.get("noise") == record["noise"]:
        free = free | {"noise_protocol"}
    for name in dict.fromkeys([*before, *values]):
        if name in free:
            continue
        if name == "loss" and name in before and name in values:
            compared.append(("--loss", canonical_name(before[name]), canonical_name(values[name])))
        elif name in before and name in values:
            compared.append((f"--{name}", before[name], values[name]))
        elif present := before.get(
            name, values.get(name)
        ):  # one version does not know the option: off, or a difference
            compared.append((f"--{name}", present if name in before else ABSENT, present if name in values else ABSENT))
    for split in ("train", "dev"):
        for part in ("captions_sha256", "caption_image_sha256", "features"):
            compared.append((f"{split} {part}", earlier["data"][split][part], record["data"][split][part]))
    for part in ("vocabulary", "descriptions", "noise"):
        compared.append((part, earlier.get(part), record[part]))
    return [OptionChange(*values) for values in compared if values[1] != values[2]]


def check_resumable(path: Path, earlier: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Refuse to go on from a checkpoint with other options or other data; see `differences`.

    Raises:
        InputError: every difference with both values, and the way out.
    """
    found = differences(earlier, record)
    if found:
        raise InputError(
            f"{path}: this run would go on differently: {'; '.join(map(str, found))}; go on with what it was made "
            f"with, or begin a new run from its weights with --init_model {path} and another --logger_name"
        )


def _sha256(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_short(part)}" for key, part in value.items())
    text = str(value)
    return text if len(text) != 64 or any(letter not in "0123456789abcdef" for letter in text) else text[:12]
