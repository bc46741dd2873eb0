"""Checkpoints: tensors and plain values only, written whole or not at all, verified when read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, get_type_hints

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

import vse
from vse.console import warn
from vse.errors import InputError
from vse.files import write_atomically
from vse.formats import tensor_files
from vse.formats.tensor_files import DamagedError

FORMAT = "vse 1"

State = dict[str, Tensor]
"""Names of parameters and buffers -> tensors."""


@dataclass(frozen=True)
class RunState:
    """State that a run needs, besides the network, to resume to equal bits."""

    objective: dict[str, Any]
    """As `state_dict` of the objective gives it."""
    optimizer: dict[str, Any]
    """As `torch.optim.Optimizer.state_dict` gives it."""
    order: dict[str, int]
    """What the order of the pairs depends on: seed, pairs_per_step, pairs."""
    rng: list[State]
    """States of the random number generators, by device kind, one entry for each process."""
    average: dict[str, Any] | None = None
    """With `--ema` the `parts` are averages of the weights: how many updates they had, and the weights themselves."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and all that is needed to use it. Only this class defines the content of a checkpoint."""

    network: str
    """Name of the network; empty in a checkpoint of the original code, which does not say."""
    parts: list[State]
    """State dicts: one, or those that the original code keeps apart."""
    options: dict[str, Any]
    """All options of its training, by the names of their flags."""
    vocabulary: dict[str, Any] | None = None
    """What `to_state` of its text gave; None in a checkpoint of the original code."""
    image_shape: list[int] | None = None
    """Shape of one image's features; None in older checkpoints and in those of the original code."""
    progress: dict[str, float] = field(default_factory=dict)
    """Where its training stood: epoch, position, step, validated, best."""
    record: dict[str, Any] | None = None
    """Of the run that made it (`vse.training.record`); None in older checkpoints and in those of the original code."""
    run: RunState | None = None
    """None in `model_best`, which cannot be resumed."""
    published: bool = False
    """It was written by the original code."""
    path: Path = Path()
    """The file that it was read from."""


Entries = TypeVar("Entries", Checkpoint, RunState)


class Importing(Protocol):
    """A network that can import weights by the original code's names."""

    def import_published(self, parts: list[State], options: Mapping[str, Any]) -> State:
        """Return a state dict of this network."""


def save(path: Path, checkpoint: Checkpoint, best: Path | None = None) -> None:
    """Write a checkpoint to resume from; the one before it is kept as `previous_of(path)`.

    A reader sees the old file or the whole new one, whenever the process dies.

    Args:
        path: the file to write.
        checkpoint: with its `run`.
        best: file of the best model, if this is it. It gets the network without the run's state, and it is written
            first, so that a checkpoint that remembers a best score never stands beside an older best model.

    Raises:
        InputError: weights that are not finite, or a file that cannot be written.
    """
    _check_finite(checkpoint.parts[0], path)
    if best is not None:
        save_model(best, checkpoint)
    _write(path, checkpoint, previous_of(path))


def save_model(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint without the state of its run: a model to use.

    Raises:
        InputError: weights that are not finite, or a file that cannot be written.
    """
    _check_finite(checkpoint.parts[0], path)
    _write(path, replace(checkpoint, run=None))


def previous_of(path: Path) -> Path:
    """Return the file of the checkpoint before the newest: `checkpoint.previous.pth.tar`, beside the newest itself."""
    file = Path(os.path.realpath(path))
    stem, _, suffix = file.name.partition(".")
    return file.with_name(f"{stem}.previous.{suffix}")


def _check_finite(state: State, path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(
                f"{path}: not saved, because the network's `{name}` holds NaN or infinity; resume from the last "
                "checkpoint with a lower --learning_rate, or check the features with `python -m vse check`"
            )


def _write(path: Path, checkpoint: Checkpoint, previous: Path | None = None) -> None:
    versions = {"vse": vse.__version__, "torch": str(torch.__version__)}
    content = {"format": FORMAT, **_to_content(checkpoint), "versions": versions}
    content["sha256"] = digest(content)
    write_atomically(path, lambda file: torch.save(content, file), previous)


def _to_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the entries of a checkpoint file."""
    content = {
        "network": checkpoint.network,
        "model": dict(checkpoint.parts[0]),
        "options": checkpoint.options,
        "vocabulary": checkpoint.vocabulary,
        "image_shape": checkpoint.image_shape,
        "progress": checkpoint.progress,
        "record": checkpoint.record,
    }
    if checkpoint.run is not None:
        content |= {entry.name: getattr(checkpoint.run, entry.name) for entry in fields(RunState)}
    return content


def load(path: Path, network: str | None = None) -> Checkpoint:
    """Read a checkpoint of this repository; nothing in the file can run.

    Args:
        path: the file.
        network: the network it must be of; None takes any.

    Raises:
        DamagedError: cut off or altered.
        InputError: missing, of another network, or of another kind.
    """
    return from_content(tensor_files.read(path), path, network)


def load_newest(
    path: Path, network: str | None = None, read: Callable[[Path, str | None], Checkpoint] = load
) -> Checkpoint:
    """Read a checkpoint to resume from; if it is missing or damaged, fall back to the one before it and say so.

    Args:
        read: reads one file.

    Raises:
        InputError: as `load`, if there is no earlier one.
    """
    previous = previous_of(path)
    try:
        if path.exists() or not previous.exists():
            return read(path, network)
        reason = f"{path}: no such file"
    except DamagedError as problem:
        if not previous.exists():
            raise
        reason = str(problem)
    earlier = read(previous, network)
    warn(f"{reason}. The run resumes from {previous}, the checkpoint before it")
    return earlier


def from_content(content: Any, path: Path, network: str | None = None) -> Checkpoint:
    """Make a checkpoint of the entries of a file, which are verified.

    Raises:
        DamagedError: altered.
        InputError: of another network, or of another kind.
    """
    if not isinstance(content, dict) or "format" not in content:
        raise InputError(f"{path}: not a checkpoint of this repository (no entry `format`)")
    expected = content.pop("sha256", None)
    if content["format"] != FORMAT or expected != digest(content):
        raise DamagedError(f"{path}: its content does not match its SHA-256; the file was altered, use another copy")
    content["parts"] = [content.get("model")]
    run = _checked(RunState, content, path) if "optimizer" in content else None
    checkpoint = _checked(Checkpoint, {**content, "run": run, "published": False, "path": path}, path)
    if network is not None and checkpoint.network != network:
        raise InputError(f"{path}: a checkpoint of {checkpoint.network}; expected one of {network}")
    return checkpoint


def _checked(kind: type[Entries], content: Mapping[str, Any], path: Path) -> Entries:
    """Make a `Checkpoint` or `RunState` of entries whose types must be those that it states."""
    hints = get_type_hints(kind)
    for name in hints.keys() & content.keys():
        try:
            check_type(content[name], hints[name], collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except TypeCheckError as problem:
            raise DamagedError(
                f"{path}: its entry `{name}` is damaged ({' '.join(str(problem).split())}); use another copy"
            ) from None
    required = {entry.name for entry in fields(kind) if entry.default is MISSING and entry.default_factory is MISSING}
    if required - content.keys():
        raise DamagedError(f"{path}: it lacks its entry `{min(required - content.keys())}`; use another copy")
    return kind(**{name: content[name] for name in hints.keys() & content.keys()})


def digest(value: Any) -> str:
    """Return the SHA-256 over the structure, plain values and tensor bytes of a nested value."""
    state = hashlib.sha256()
    for piece in _pieces(value):
        state.update(piece)
    return state.hexdigest()


def _pieces(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        yield f"tensor {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key, item in value.items():
            yield json.dumps(key).encode()
            yield from _pieces(item)
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for item in value:
            yield from _pieces(item)
    else:
        yield json.dumps(value).encode()


class NoInitialWeights(TorchFunctionMode):
    """Within this context no initial weights are drawn; a checkpoint must replace all of them."""

    draws = (init.uniform_, init.normal_, init.kaiming_uniform_, Tensor.uniform_, Tensor.normal_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Leave a tensor as it is instead of drawing its values."""
        kwargs = kwargs or {}
        if func in self.draws:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_weights(network: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a network.

    Raises:
        InputError: they do not fit; the message names the first difference.
    """
    network.load_state_dict(weights_for(network, checkpoint), strict=False)


def weights_for(network: torch.nn.Module, checkpoint: Checkpoint) -> State:
    """Return a checkpoint's weights by the network's names, once it is sure that they fit; it may be on `meta`.

    Raises:
        InputError: as `load_weights`.
    """
    state = checkpoint.parts[0]
    if checkpoint.published:
        try:
            state = cast(Importing, network).import_published(checkpoint.parts, checkpoint.options)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError):
            raise InputError(
                f"{checkpoint.path}: its weights are not those of a {type(network).__name__} of the original code; "
                "give a checkpoint of this network"
            ) from None
    _check_fit(network, state, checkpoint.path)
    return state


def _check_fit(network: torch.nn.Module, state: State, path: Path) -> None:
    """Refuse a state dict that does not fit name by name and shape by shape; `num_batches_tracked` may be missing."""
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in wanted]
    if missing or unknown:
        what = f"lacks `{missing[0]}`" if missing else f"holds `{unknown[0]}`, which the network does not have"
        raise InputError(f"{path}: {what}; expected a checkpoint made with the same network options")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise InputError(
                f"{path}: `{name}` has shape {list(tensor.shape)}, the network wants {list(wanted[name].shape)}; "
                "expected a checkpoint made with the same network options and data"
            )


def load_run(run: RunState, objective: torch.nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Load the states of objective and optimizer, which must fit.

    Raises:
        InputError: they do not; the message says what to do instead.
    """
    try:
        objective.load_state_dict(run.objective)
        optimizer.load_state_dict(_with_kernels_of(optimizer, run.optimizer))
        fits = all(_fits(parameter, state) for parameter, state in optimizer.state.items())
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        fits = False
    if not fits:
        raise InputError(
            f"{path}: made with another objective or with other parameters trained; resume with the same options, or "
            "start a new run from its weights with --init_model"
        )


def _with_kernels_of(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimizer's state with the kernels of this one, which say how it computes and not where it stood."""
    groups = zip(state["param_groups"], optimizer.param_groups, strict=True)
    kernels = [{**saved, **{name: own[name] for name in ("foreach", "fused") if name in own}} for saved, own in groups]
    return {**state, "param_groups": kernels}


def _fits(parameter: Tensor, state: Mapping[str, Any]) -> bool:
    """Return whether an optimizer's moments have the shape of their parameter."""
    return all(not isinstance(value, Tensor) or value.shape in ((), parameter.shape) for value in state.values())
