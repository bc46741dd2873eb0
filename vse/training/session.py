"""Open a run: data, network, optimizer and the checkpoint to start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vse.checkpoints import Checkpoint
from vse.data.batches import EpochSampler
from vse.data.loading import TrainingData, open_training_data
from vse.errors import InputError
from vse.losses import Objective
from vse.networks import NetworkFolder
from vse.nn.batchnorm import synchronise
from vse.nn.network import Network
from vse.training.checkpoint_writer import CheckpointWriter
from vse.training.ema import WeightAverage
from vse.training.guards import CollapseGuard
from vse.training.optimizers import make_optimizer
from vse.training.pair_losses import PairLosses
from vse.training.recipe import Recipe, RunOptions
from vse.training.record import RunRecord, make_record
from vse.training.runs import (
    Interrupt,
    Progress,
    Resumed,
    Run,
    best_beside,
    check_start,
    initialise,
    lock_folders,
    resume,
    resumes_own,
)
from vse.training.schedules import learning_rate_factor
from vse.training.step import TrainingStep


class TakenStep(NamedTuple):
    """A training step as it is known before the host has waited for the device."""

    spoilt: Tensor  # float32 scalar, 1 if loss or gradient was not finite, so that nothing was updated
    losses: dict[str, Tensor]  # by the names that logs know them by, scalars
    pairs: int  # over all processes
    epoch: int
    position: int
    captions: Tensor  # [B] numbers of this process's captions, on the host


@dataclass
class Session:
    """A run in progress: its network, data and progress."""

    folder: NetworkFolder
    options: RunOptions
    recipe: Recipe
    run: Run
    data: TrainingData
    network: Network
    objective: Objective
    optimizer: torch.optim.Optimizer
    step: nn.Module  # the TrainingStep, as DistributedDataParallel wraps it
    interrupt: Interrupt
    progress: Progress = field(default_factory=Progress)
    resumed: Resumed | None = None
    best_elsewhere: Checkpoint | None = None  # best model of a resumed run that goes on in another folder
    unseen: list[TakenStep] = field(default_factory=list)  # steps of which the host doesn't know yet if they were made
    taken: int = 0  # steps since this start that the host has looked at
    dropped: int = 0  # of them, those whose loss or gradient was not finite
    dropped_in_a_row: int = 0
    guard: CollapseGuard = field(default_factory=CollapseGuard)
    record: RunRecord = field(init=False)

    def __post_init__(self) -> None:
        self.initial_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.steps_per_epoch = len(self.sampler(0, 0))
        training = self.options.training
        self.rate_factor = learning_rate_factor(training, self.recipe.schedule(training), self.steps_per_epoch)
        self.average = WeightAverage(self.network, training.ema) if training.ema else None
        noise = self.data.pairs.noise
        self.writer = CheckpointWriter()
        self.pair_losses = None if noise is None else PairLosses(noise, self.run.device)

    @property
    def order(self) -> dict[str, int]:
        """What the order of the pairs depends on; a resumed run must have the same."""
        pairs_per_step = self.options.data.batch_size * self.run.world_size
        return {"seed": self.options.training.seed, "pairs_per_step": pairs_per_step, "pairs": len(self.data.pairs)}

    def sampler(self, epoch: int, position: int) -> EpochSampler:
        """Return this process's batches of an epoch, from a position on."""
        return EpochSampler(
            len(self.data.pairs),
            self.options.data.batch_size,
            self.options.training.seed,
            epoch,
            position,
            self.run.rank,
            self.run.world_size,
            self.recipe.drop_last,
            self.network.smallest_batch,
        )


def open_session(
    folder: NetworkFolder, options: RunOptions, objective: Objective, recipe: Recipe, run: Run, interrupt: Interrupt
) -> Session:
    """Open the data, build the network and load the checkpoint to start from; the run folder is not touched."""
    training = options.training
    lock_folders(run)
    data = open_training_data(options.data, folder.reader(options.network), training.seed, objective.needs_descriptions)
    if data.pairs.noise is not None and options.objective.same_image_key == "legacy_div5":
        raise InputError(
            "--same_image_key legacy_div5: finds a caption's true image by its number, which noise must hide; leave it "
            "out, or leave out --noise_protocol"
        )
    network = folder.build(options.network, data.image_shape, data.text, True).to(run.device)
    if options.data.batch_size < network.smallest_batch:
        raise InputError(
            f"--batch_size {options.data.batch_size}: the network normalises over the pairs of a batch; give at least "
            f"{network.smallest_batch}"
        )
    if options.data.batch_size * run.world_size < 2:
        raise InputError("--batch_size 1: a single pair has no wrong answers to learn from; give at least 2")
    objective.start(len(data.pairs))
    objective.to(run.device)
    if run.rank > 0:
        torch.manual_seed(training.seed + run.rank)  # weights are equal already; dropout must differ
    step: nn.Module = TrainingStep(network, objective, training.precision == "bf16")
    optimizer = make_optimizer(network, objective, training, recipe.make_optimizer)
    session = Session(folder, options, recipe, run, data, network, objective, optimizer, step, interrupt)
    content, earlier = record_of(session), None
    if training.resume is not None:
        parts = (network, objective, optimizer, session.average)
        session.resumed = resume(training.resume, folder.name, run, *parts, session.order, content)
        session.progress, earlier = session.resumed.progress, session.resumed.record
        if not resumes_own(training, run):
            session.best_elsewhere = best_beside(session.resumed, folder.name, run)
    if training.init_model is not None:
        if session.progress.step == 0:
            content["started_from"] = initialise(training.init_model, folder.name, network)
        elif earlier is not None:
            check_start(training.init_model, folder.name, run.checkpoint, earlier)
    if session.average is not None and session.average.updates == 0:
        session.average.restart()  # the weights may have been loaded just now
    session.record = RunRecord(content, earlier)
    if run.world_size > 1:
        if training.sync_batchnorm:
            synchronise(network)
        session.step = DistributedDataParallel(step, find_unused_parameters=recipe.freezes)
    if training.compile:
        objective.directions = torch.compile(objective.directions, dynamic=True)  # type: ignore[method-assign]
    if training.features_on_device or (training.features_on_device is None and data.pairs.fit_on(run.device)):
        data.pairs.keep_images_on(run.device)
    return session


def record_of(session: Session) -> dict[str, Any]:
    """Return the record of the run that is about to start."""
    pairs = session.data.pairs
    return make_record(
        session.folder.name,
        session.options,
        pairs.split,
        session.data.dev.split,
        session.run.device,
        vocabulary=session.data.text.to_state(),
        descriptions=pairs.descriptions,
        noise=pairs.noise,
        selected_by=session.recipe.selection.name,
    )
