"""The training loop: one flat function over a network, an objective and a data set."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vse import checkpoints
from vse.console import say
from vse.data.batches import EpochSampler, PairDataset, iterate, pair_loader
from vse.data.loading import TrainingData
from vse.errors import InputError
from vse.evaluation.ranking import evaluate
from vse.evaluation.scoring import evaluating, score_split
from vse.losses.memory_bank import MemoryBank
from vse.losses.objective import Objective
from vse.nn.network import Network
from vse.options import plain
from vse.text.vocabulary import Vocabulary
from vse.training.guards import CollapseGuard
from vse.training.logs import RunLog
from vse.training.runs import Interrupt, Interrupted, Progress, Run, initialise, random_states, resume
from vse.training.step import StepResult, TrainingStep

LOSS_TAGS = {"loss": "Le"}
"""Our name of a logged number -> the TensorBoard tag the published code logs it under."""


def step_decay(lr_update: int) -> Callable[[float], float]:
    """The published schedule: a tenth of the learning rate after every `lr_update` epochs."""
    return lambda epoch: 0.1 ** (epoch // lr_update)


def recall_sum(metrics: Mapping[str, float]) -> float:
    """Selection score: R@1 + R@5 + R@10 of both directions on dev."""
    return metrics["rsum"]


def train(
    name: str,
    run: Run,
    network: Network,
    objective: Objective,
    training: TrainingData[Any],
    options: Any,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    learning_rate_factor: Callable[[float], float] | None = None,
    select: Callable[[Mapping[str, float]], float] = recall_sum,
    selected_by: str = "rsum",
    prepare_epoch: Callable[[int, int], None] | None = None,
    drop_last: bool = False,
    tags: Mapping[str, str] = LOSS_TAGS,
) -> float:
    """Train a network and return its best selection score on dev.

    Validates every `val_step` steps and after each epoch, keeps the best model, and saves after every validation and
    on SIGINT and SIGTERM (exit status 130 and 143), so that `--resume auto` goes on to bit-identical weights.

    Args:
        name: the network's name in checkpoints.
        options: the script's options; `TrainingOptions` and `DataOptions` are read here, all are saved.
        optimizer: default Adam over `network.parameter_groups` and the objective's own parameters.
        learning_rate_factor: epoch, with the part of it that is done, -> factor on every group's initial learning rate;
            default `step_decay(lr_update)`.
        select: dev metrics -> the score that the best model has most of.
        selected_by: name of that score, for people.
        prepare_epoch: called with (epoch, position) before its batches, e.g. to freeze parameters; position > 0 after
            resuming within it.
        tags: TensorBoard tags of `loss`, `retrieval` (the objective alone), `image_to_text`, `text_to_image`, the
            names of extra terms, and metrics.

    Raises:
        InputError: the batch is larger than the data, the checkpoint does not fit, or losses stay non-finite.
    """
    data, dev = training.pairs, training.dev
    if options.batch_size * run.world_size > len(data):
        raise InputError(
            f"--batch_size {options.batch_size}: {run.world_size * options.batch_size} pairs a step are more than the "
            f"{len(data)} training captions; choose a smaller batch"
        )
    device = run.device
    network.to(device)
    objective.to(device)
    if optimizer is None:
        groups = network.parameter_groups(options.learning_rate)
        own = list(objective.parameters())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*duplicate parameters")  # VSRN's captioner is listed twice on purpose
            optimizer = torch.optim.Adam([*groups, *([{"params": own, "lr": options.learning_rate}] if own else [])])
    objective.start(len(data))
    initial_rates = [group["lr"] for group in optimizer.param_groups]
    factor = learning_rate_factor or step_decay(options.lr_update)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    order = {"seed": options.seed, "pairs_per_step": options.batch_size * run.world_size, "pairs": len(data)}
    progress = Progress()
    if run.rank > 0:
        torch.manual_seed(options.seed + run.rank)  # weights are equal already; dropout must differ
    if options.resume is not None:
        progress = resume(options.resume, name, run, network, objective, optimizer, order)
    if options.init_model is not None and progress.step == 0:
        initialise(options.init_model, name, network)

    vocabulary = training.vocabulary.to_state()
    if "words" in vocabulary and run.rank == 0:
        Vocabulary.from_state(vocabulary).save(run.folder / "vocab.json")
    step_module: nn.Module = TrainingStep(network, objective, options.precision == "bf16")
    if run.world_size > 1:
        # Parameters that an epoch freezes have no gradient to wait for.
        step_module = DistributedDataParallel(step_module, find_unused_parameters=prepare_epoch is not None)
    if options.compile:
        step_module = torch.compile(step_module)  # type: ignore[assignment]
    if options.features_on_device:
        data.keep_images_on(device)

    def sampler(epoch: int, position: int) -> EpochSampler:
        return EpochSampler(
            len(data),
            options.batch_size,
            options.seed,
            epoch,
            position,
            run.rank,
            run.world_size,
            drop_last,
            network.smallest_batch,
        )

    steps_per_epoch = len(sampler(0, 0))
    log = RunLog(
        run.folder,
        step=progress.step,
        steps_per_epoch=steps_per_epoch,
        num_epochs=options.num_epochs,
        pairs_per_step=options.batch_size * run.world_size,
        window=options.log_step,
        selected_by=selected_by,
        options=plain(options),
        writes=run.rank == 0,
    )
    guard = CollapseGuard()

    def content() -> dict[str, Any]:
        return {
            "network": name,
            "model": network.state_dict(),
            "objective": objective.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": {key: getattr(progress, key) for key in ("epoch", "position", "step", "validated", "best")},
            "order": order,
            "rng": random_states(run),
            "options": plain(options),
            "vocabulary": vocabulary,
        }

    def save(best: bool = False) -> None:
        saved = content()
        if run.rank == 0:
            checkpoints.save(run.checkpoint, saved, run.best_model if best else None)

    def validate() -> None:
        with interrupt.at_once():
            scores = score_split(network, dev, device, progress=log.validating)
            metrics = evaluate(scores, dev.split.caption_image)
        progress.validated = progress.step
        score = select(metrics)
        best = score > progress.best
        progress.best = max(progress.best, score)
        log.validation(progress.step, metrics, tags, best)
        save(best)

    def validation_due() -> bool:
        ends_epoch = progress.position == 0 and progress.step > 0
        return progress.validated != progress.step and (
            ends_epoch or (progress.step > 0 and progress.step % options.val_step == 0)
        )

    with Interrupt().watching() as interrupt:
        try:
            if validation_due():
                validate()
            while progress.epoch < options.num_epochs:
                epoch = progress.epoch
                if prepare_epoch is not None:
                    prepare_epoch(epoch, progress.position)
                if objective.bank is not None and epoch > 0 and progress.position == 0:
                    fill_bank(objective.bank, network, data, epoch, device)
                loader = pair_loader(data, sampler(epoch, progress.position), options.workers, device.type == "cuda")
                network.train()
                clock = _Clock()
                for batch in iterate(loader):
                    clock.data_ready()
                    batch = data.with_images(batch.to(device))
                    done = epoch + progress.position / steps_per_epoch
                    for group, rate in zip(optimizer.param_groups, initial_rates, strict=True):
                        group["lr"] = rate * factor(done)
                    objective.begin(epoch, progress.position, steps_per_epoch)
                    result: StepResult = step_module(batch)
                    applied = _update(result.loss, optimizer, trained, options.grad_clip)
                    progress.bad_losses = 0 if applied else progress.bad_losses + 1
                    if progress.bad_losses == 3:
                        raise InputError(
                            f"the loss was {result.loss.item()} three times in a row, last for the batch at position "
                            f"{progress.position} of epoch {epoch} (captions {batch.caption_ids[:5].tolist()} ...); "
                            "lower --learning_rate or check the features with `python -m vse check`"
                        )
                    progress.position += 1
                    progress.step += 1
                    clock.step_done(len(batch.image_ids) * run.world_size)
                    if applied:
                        log.add(losses_of(result), len(batch.image_ids) * run.world_size, objective.averaged)
                    if progress.position == steps_per_epoch:
                        break
                    if progress.step % options.log_step == 0:
                        _log_training(log, progress, optimizer, clock, tags)
                        guard.look(result, objective)
                        clock.restart()
                    if validation_due():
                        validate()
                        network.train()
                        clock.restart()
                    if interrupt.received:
                        raise Interrupted
                if clock.steps:
                    _log_training(log, progress, optimizer, clock, tags)
                    guard.look(result, objective)
                progress.epoch, progress.position = epoch + 1, 0
                validate()
        except Interrupted:
            save()
            log.close()
            say(f"interrupted after {progress.step} steps, saved; --resume auto goes on from here")
            sys.exit(128 + interrupt.received)
    log.close()
    if run.world_size > 1:
        dist.barrier()
    say(f"best dev score {progress.best:.1f}: {run.best_model}")
    return progress.best


def fill_bank(bank: MemoryBank, network: Network, data: PairDataset, epoch: int, device: torch.device) -> None:
    """Remember a sample of the training pairs as the network embeds them now, in eval mode (HAL, from epoch 1 on)."""
    captions = bank.draw(data.seed, epoch, len(data))
    images, texts, image_ids, caption_ids = [], [], [], []
    with evaluating(network):
        for first in range(0, len(captions), BANK_BATCH):
            batch = data.with_images(data.read(captions[first : first + BANK_BATCH]).to(device))
            images.append(network.encode_images(batch).vectors)
            texts.append(network.encode_captions(batch).vectors)
            image_ids.append(batch.image_ids)
            caption_ids.append(batch.caption_ids)
    bank.remember(*(torch.cat(parts) for parts in (images, texts, image_ids, caption_ids)))


BANK_BATCH = 256


def _update(loss: Tensor, optimizer: torch.optim.Optimizer, trained: list[nn.Parameter], grad_clip: float) -> bool:
    """One optimizer step, unless loss or gradient is not finite; says whether it was made."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    # A parameter that is listed twice (VSRN's captioner) must be scaled twice, one after the other.
    foreach = None if len(set(trained)) == len(trained) else False
    norm = nn.utils.clip_grad_norm_(trained, grad_clip or float("inf"), foreach=foreach)
    if not torch.isfinite(loss.detach() + norm):
        optimizer.zero_grad(set_to_none=True)
        return False
    optimizer.step()
    return True


class _Clock:
    """Time spent in steps, and the share of it spent waiting for data."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.started = self.last = time.monotonic()
        self.waited, self.pairs, self.steps = 0.0, 0, 0

    def data_ready(self) -> None:
        self.waited += time.monotonic() - self.last

    def step_done(self, pairs: int) -> None:
        self.last = time.monotonic()
        self.pairs += pairs
        self.steps += 1


def losses_of(result: StepResult) -> dict[str, Tensor]:
    """The losses of a step by the names that logs know them by."""
    return {
        "loss": result.loss,
        "retrieval": result.image_to_text + result.text_to_image,
        "image_to_text": result.image_to_text,
        "text_to_image": result.text_to_image,
        **result.extra,
    }


def _log_training(
    log: RunLog, progress: Progress, optimizer: torch.optim.Optimizer, clock: _Clock, tags: Mapping[str, str]
) -> None:
    elapsed = max(clock.last - clock.started, 1e-9)
    numbers = {
        "lr": optimizer.param_groups[0]["lr"],
        "pairs_per_second": clock.pairs / elapsed,
        "data_share": clock.waited / elapsed,
        "batch_time": elapsed / clock.steps,
        "data_time": clock.waited / clock.steps,
    }
    log.training(progress.step, numbers, tags)
