"""A training run around its loop: folder, device, seeds, signals, progress and resuming."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vse import checkpoints
from vse.checkpoints import Checkpoint
from vse.console import say
from vse.distributed import agree, choose_device, first_process_first, gather_objects, start
from vse.errors import InputError
from vse.evaluation.reports import save_json
from vse.exits import SIGNALS
from vse.files import writable_folder
from vse.losses.objective import Objective
from vse.memory import keep_freed
from vse.nn.network import Network
from vse.nn.precision import multiply_in, repeat_bits
from vse.options import Precision, TrainingOptions
from vse.published import checkpoints as published
from vse.training.ema import WeightAverage
from vse.training.locks import RunLock, hold
from vse.training.record import check_resumable, describe_start


@dataclass
class Run:
    """A training run: its folder, its device, and this process's place under torchrun."""

    folder: Path
    device: torch.device
    rank: int = 0
    world_size: int = 1
    models: Path | None = None  # where its checkpoints go, if not to `folder`
    locks: dict[Path, RunLock] = field(default_factory=dict)  # on its folders, in the first process

    @property
    def folders(self) -> dict[str, Path]:
        """Flag -> folder that the run writes to, each folder once."""
        both = {"--logger_name": self.folder}
        return both if self.checkpoint.parent == self.folder else {**both, "--model_name": self.checkpoint.parent}

    @property
    def checkpoint(self) -> Path:
        """The resumable checkpoint."""
        return (self.models or self.folder) / "checkpoint.pth.tar"

    @property
    def best_model(self) -> Path:
        """The model of the best dev score."""
        return (self.models or self.folder) / "model_best.pth.tar"


def begin_run(options: TrainingOptions) -> Run:
    """Choose the device, join torchrun's processes and seed everything; nothing is written.

    Raises:
        InputError: the device is not available, or cannot compute in the precision asked for.
    """
    rank, world_size, device = start(choose_device(options.device))
    keep_freed(device.type)
    multiply_in(precision_of(options, device))
    repeat_bits(options.deterministic)
    torch.manual_seed(options.seed)  # the initial weights are the same in every process
    return Run(Path(options.logger_name), device, rank, world_size, Path(options.model_name or options.logger_name))


def precision_of(options: TrainingOptions, device: torch.device) -> Precision:
    """Return the precision of `--precision`, by default TF32 on CUDA and float32 elsewhere.

    Raises:
        InputError: another precision than float32 without CUDA.
    """
    cuda = device.type == "cuda"
    if options.precision not in (None, "float32") and not cuda:
        raise InputError(f"--precision {options.precision}: needs a CUDA device, this is {device.type}; use float32")
    return options.precision or ("tf32" if cuda else "float32")


def lock_folders(run: Run) -> None:
    """Lock the run's folders that exist, in the first process, before anything in them is read.

    Raises:
        InputError: another run is using one of them.
    """
    if run.rank == 0:
        for folder in run.folders.values():
            if folder.is_dir() and folder not in run.locks:
                run.locks[folder] = hold(folder)


def release_folders(run: Run) -> None:
    """Give the run's folders back."""
    for lock in run.locks.values():
        lock.release()
    run.locks.clear()


def claim_folders(run: Run, resumed: bool, options: Mapping[str, Any], data: Path | None = None) -> None:
    """Make and lock the run's folders and write `options.json`; an earlier run that is not resumed is moved aside.

    Called once everything else was checked. The first process does it, the others wait.

    Args:
        data: folder of the data set, which is never moved.

    Raises:
        InputError: a folder is in use, cannot be written, is the data set's or would be moved aside with it.
    """
    with first_process_first():
        if run.rank > 0:
            return
        for flag, folder in run.folders.items():
            if data is not None and folder.resolve() == data.resolve():
                raise InputError(f"{flag} {folder}: the folder of the data set; give the run a folder of its own")
        # Of a run that began and ended since `lock_folders`.
        came_since = run.checkpoint.exists() and run.checkpoint.parent not in run.locks
        lock_folders(run)
        if run.checkpoint.exists() and (came_since or not resumed):
            for flag, folder in run.folders.items():
                if data is not None and data.resolve().is_relative_to(folder.resolve()):
                    raise InputError(
                        f"{flag} {folder}: holds an earlier run and the data set {data}, which would be moved aside "
                        "with it; give another folder"
                    )
                if (lock := run.locks.pop(folder, None)) is not None:
                    aside = lock.move_aside(flag)
                    say(f"{folder} holds an earlier run: moved to {aside} (--resume auto would resume it)")
        for flag, folder in run.folders.items():
            writable_folder(folder, flag)
            if folder not in run.locks:
                run.locks[folder] = hold(folder)
        save_json(run.folder / "options.json", options)


def resumes_own(options: TrainingOptions, run: Run) -> bool:
    """Return whether the run goes on from the checkpoint of its own folder, and not from another one's."""
    if options.resume is None or options.resume == "auto":
        return options.resume == "auto"
    return run.checkpoint.exists() and run.checkpoint.samefile(options.resume)


@dataclass
class Progress:
    """Progress of a run; saved with every checkpoint."""

    epoch: int = 0
    position: int = 0  # batches done in this epoch
    step: int = 0  # batches done in all (Eiters in the original code)
    validated: int = -1  # step of the last validation
    best: float = float("-inf")  # best selection score on dev


class Resumed(NamedTuple):
    """State from which a run resumes."""

    progress: Progress
    record: Mapping[str, Any] | None = None
    path: Path | None = None
    """Its checkpoint; None: it starts from the beginning."""


class Interrupt:
    """A signal that asks to stop: remembered until the step is done, raised at once while nothing can be lost.

    Under torchrun any process may receive a signal at any time; all stop at a step on which they agree.
    """

    def __init__(self) -> None:
        self.received = 0
        self.immediate = False
        self.agreed = False

    @contextmanager
    def watching(self) -> Iterator[Interrupt]:
        """Watch for signals that ask the run to stop."""
        previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in previous.items():  # torchrun passes the signal on to processes that have saved
                signal.signal(number, signal.SIG_IGN if self.agreed else handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or number
        if self.immediate:
            self.immediate = False
            raise Interrupted

    def stops(self) -> bool:
        """Return whether any process has received a signal; each must call it."""
        if not self.agreed:
            largest = agree(self.received)
            self.agreed = largest > 0
            self.received = largest or self.received  # a signal may have come during the agreement
        return self.agreed

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While a computation that can be repeated runs: stop it right away, in this process."""
        if self.received:
            raise Interrupted
        self.immediate = True
        try:
            yield
        finally:
            self.immediate = False


class Interrupted(BaseException):
    """A signal came while nothing could be lost."""


def random_states(run: Run) -> list[dict[str, Tensor]]:
    """Random number states of every process, rank by rank."""
    own = {"cpu": torch.get_rng_state()}
    if run.device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(run.device)
    return gather_objects(own)


def resume(
    source: str,
    name: str,
    run: Run,
    network: Network,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    order: dict[str, int],
    record: Mapping[str, Any],
) -> Resumed:
    """Load the checkpoint of `--resume` into the parts of a run.

    A damaged newest checkpoint falls back to the one before it. One of the original code gives weights only.

    Args:
        average: of the run's weights, to go on with as well.
        order: what the order of the pairs depends on, which must be as it was.
        record: of the run that wants to go on; its options and data must be as they were.

    Raises:
        InputError: the checkpoint does not fit the run.
    """
    path = run.checkpoint if source == "auto" else Path(source)
    if source == "auto" and not path.exists() and not checkpoints.previous_of(path).exists():
        say(f"--resume auto: no checkpoint in {run.folder} yet, the run starts from the beginning")
        return Resumed(Progress())
    checkpoint = checkpoints.load_newest(path, name, published.load)
    path = checkpoint.path
    if checkpoint.published:
        checkpoints.load_weights(network, checkpoint)
        say(f"{path}: weights of the original code, without optimizer state; the run starts at epoch 0")
        return Resumed(Progress())
    if checkpoint.run is None:
        raise InputError(
            f"{path}: a model without the state of its run; resume from {run.checkpoint.name}, or start a new run from "
            "its weights with --init_model"
        )
    earlier = checkpoint.record
    if earlier is not None:
        check_resumable(path, earlier, record)
    for key, wanted in {**order, "processes": run.world_size}.items():
        before = len(checkpoint.run.rng) if key == "processes" else checkpoint.run.order.get(key)
        if before != wanted:
            raise InputError(
                f"{path}: made with {key.replace('_', ' ')} {before}, this run has {wanted}; resume with the same "
                "--seed, --batch_size, number of processes and data"
            )
    checkpoints.load_weights(network, checkpoint)
    checkpoints.load_run(checkpoint.run, objective, optimizer, path)
    if (average is None) != (checkpoint.run.average is None):
        raise InputError(f"{path}: made with another --ema; resume with the same, or start a new run with --init_model")
    try:
        if average is not None and checkpoint.run.average is not None:
            average.resume(checkpoint.run.average)
        progress = Progress(**checkpoint.progress)  # type: ignore[arg-type]
        states = checkpoint.run.rng[run.rank]
        torch.set_rng_state(states["cpu"])
        if "cuda" in states and run.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], run.device)
    except (TypeError, KeyError, RuntimeError):
        raise InputError(f"{path}: its progress or random states are damaged; use another copy") from None
    epochs = record["options"]["num_epochs"]
    if (progress.epoch, progress.position) > (epochs, 0):
        begun = progress.epoch + (progress.position > 0)
        raise InputError(f"{path}: has trained into epoch {begun}, beyond --num_epochs {epochs}; give at least {begun}")
    say(f"{path}: resuming after step {progress.step}, epoch {progress.epoch}")
    return Resumed(progress, earlier, path)


def best_beside(resumed: Resumed, name: str, run: Run) -> Checkpoint | None:
    """Read the best model of a run that goes on in another folder; None if it does not lie beside the checkpoint."""
    if resumed.path is None:
        return None
    try:
        model = checkpoints.load(resumed.path.with_name(run.best_model.name), name)
    except InputError:
        return None
    return model if model.progress.get("best") == resumed.progress.best else None


def check_start(source: str, name: str, path: Path, earlier: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that started from other weights than `--init_model` gives now.

    Args:
        path: the run's checkpoint.
        earlier: the record in it.

    Raises:
        InputError: it started from others, or from none. A file that is not there any more is taken for the same.
    """
    before = earlier["started_from"]
    if before is None:
        raise InputError(
            f"{path}: this run did not start from other weights; go on without --init_model, or begin a new run from "
            f"{source} with another --logger_name"
        )
    if not Path(source).exists():
        return
    weights = describe_start(published.load(Path(source), name))["weights_sha256"]
    if weights != before["weights_sha256"]:
        raise InputError(
            f"{path}: this run started from the weights {before['weights_sha256'][:8]} of {before['path']}, while "
            f"--init_model {source} has {weights[:8]}; go on without it, or begin a new run with another --logger_name"
        )


def initialise(source: str, name: str, network: Network) -> dict[str, Any]:
    """Start from the weights of a checkpoint, ours or of the original code (`--init_model`), e.g. to fine-tune.

    Returns:
        What the run's record says of it.

    Raises:
        InputError: the checkpoint does not fit the network.
    """
    path = Path(source)
    checkpoint = published.load(path, name)
    checkpoints.load_weights(network, checkpoint)
    say(f"{path}: the run starts from its weights")
    return describe_start(checkpoint)
