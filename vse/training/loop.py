"""The training loop."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace

import torch
from torch import Tensor, nn

from vse.console import say, warn
from vse.data.batches import CaptionBatch, PairBatch, PairDataset, ahead, iterate, pair_loader
from vse.distributed import leave
from vse.errors import InputError
from vse.evaluation.ranking import evaluate
from vse.evaluation.scoring import evaluating, score_split
from vse.losses import MemoryBank, Objective, Pairs, check_combination
from vse.networks import NetworkFolder
from vse.nn.network import Network
from vse.nn.towers.plug import check_towers
from vse.options import EncoderOptions, as_dict
from vse.text.words import Words
from vse.training import optimizers
from vse.training.gather import gather_rows, largest_of_all
from vse.training.guards import warmup_of
from vse.training.logs import RunLog
from vse.training.recipe import Recipe, RunOptions
from vse.training.runs import (
    Interrupt,
    Interrupted,
    Run,
    begin_run,
    claim_folders,
    precision_of,
    release_folders,
    resumes_own,
)
from vse.training.saving import save, settle
from vse.training.session import Session, TakenStep, open_session
from vse.training.step import StepResult
from vse.training.tracking import check_tracker

BAD_LOSSES = 3
"""Non-finite losses in a row that end a run."""
MOST_DROPPED = 0.1
"""Share of the steps of this start whose loss or gradient was not finite that ends a run, from `FEW_DROPPED` on."""
FEW_DROPPED = 10
"""Steps without a finite loss or gradient that never end a run."""
BANK_BATCH = 256


def train(folder: NetworkFolder, options: RunOptions, objective: Objective, recipe: Recipe | None = None) -> float:
    """Train a network and return its best selection score on dev.

    Validates every `val_step` steps and after each epoch. Saves after each epoch, with each new best model, within an
    epoch also at a validation when three minutes have passed, and on SIGINT and SIGTERM (exit status 130 and 143), so
    that `--resume auto` goes on to bit-identical weights. The run folder is made, and an earlier run in it moved aside,
    only after everything else was checked.

    Raises:
        InputError: options that contradict each other or the data, a checkpoint that does not fit, or losses that stay
            non-finite.
    """
    options = replace(options, network=folder.resolve(options.network, options.data))  # type: ignore[type-var]
    if isinstance(options.network, EncoderOptions):
        check_towers(options.network.towers)
    check_combination(options.objective, folder.pairwise, folder.bounded(options.network))
    check_tracker(options.training.track)
    run = begin_run(options.training)
    shares = options.training.sync_batchnorm and run.world_size > 1  # one process has nobody to share with
    training = replace(options.training, sync_batchnorm=shares, precision=precision_of(options.training, run.device))
    options = replace(options, training=training)  # type: ignore[type-var]
    try:
        with Interrupt().watching() as interrupt:
            best = train_and_save(folder, options, objective, recipe or Recipe(), run, interrupt)
            stopped = interrupt.stops()
    finally:
        release_folders(run)
    leave()
    say(f"best dev score {best:.1f}: {run.best_model}")
    if stopped:
        say("interrupted when all was done and saved")
        sys.exit(128 + interrupt.received)
    return best


def train_and_save(
    folder: NetworkFolder, options: RunOptions, objective: Objective, recipe: Recipe, run: Run, interrupt: Interrupt
) -> float:
    """Train to the last epoch, or to a signal: then save and exit."""
    try:
        with interrupt.at_once():
            session = open_session(folder, options, objective, recipe, run, interrupt)
    except Interrupted:
        say("interrupted before the first step")
        sys.exit(128 + interrupt.received)
    data = session.data.pairs.split.captions_file.parent
    claim_folders(run, resumes_own(options.training, run), as_dict(options), data)
    settle(session)
    say(f"objective: {objective}")
    warmup, epochs = warmup_of(objective), options.training.num_epochs
    if run.rank == 0 and warmup is not None and warmup.epochs >= epochs:
        warn(
            f"--warmup_epochs {warmup.epochs:g}: the run of {epochs} epochs ends within its warm-up, before "
            f"{warmup.objective} begins; give fewer, or more --num_epochs"
        )
    log = open_log(session)
    try:
        run_epochs(session, log)
        session.writer.wait()
    except Interrupted:
        interrupt.stops()
        save(session)
        session.writer.wait()
        log.close()
        leave()
        say(f"interrupted after {session.progress.step} steps, saved; --resume auto goes on from here")
        sys.exit(128 + interrupt.received)
    finally:
        session.writer.close()
    log.close()
    if run.rank == 0:
        session.record.save(run.folder, ended=True)
    return session.progress.best


def open_log(session: Session) -> RunLog:
    """Open the run's logs where it stands, and keep its vocabulary and its mismatched pairs beside them."""
    run, options, noise = session.run, session.options, session.data.pairs.noise
    if isinstance(session.data.text, Words) and run.rank == 0:
        session.data.text.vocabulary.save(run.folder / "vocab.json")
    if noise is not None and run.rank == 0:
        noise.save(run.folder)
    return RunLog(
        run.folder,
        step=session.progress.step,
        validated=session.progress.validated,
        steps_per_epoch=session.steps_per_epoch,
        num_epochs=options.training.num_epochs,
        pairs_per_step=options.data.batch_size * run.world_size,
        window=options.training.log_step,
        selected_by=session.recipe.selection.name,
        options=as_dict(options),
        track=options.training.track,
        writes=run.rank == 0,
    )


def run_epochs(session: Session, log: RunLog) -> None:
    """Train until the last epoch is done, from where the run stands."""
    progress, recipe = session.progress, session.recipe
    if validation_due(session):
        validate(session, log)
    if progress.epoch > 0 and progress.position == 0 and session.run.checkpoint.exists():
        end_epoch(session)  # a kill may have come between saving the epoch and this, if it was in this folder
    while progress.epoch < session.options.training.num_epochs and not stopped_early(session):
        if recipe.before_epoch is not None:
            recipe.before_epoch(session.network, progress.epoch)
        run_epoch(session, log)
        progress.epoch, progress.position = progress.epoch + 1, 0
        validate(session, log)
        end_epoch(session)


def stopped_early(session: Session) -> bool:
    """Return whether `--early_stopping` ends the run here, between two epochs, and say so."""
    patience, best = session.options.training.early_stopping, session.record.content["best_epoch"]
    epochs = session.progress.epoch
    if patience is None or best is None or session.progress.position > 0 or epochs - best < patience:
        return False
    say(f"stopped after epoch {epochs}: dev has not improved since epoch {best} (--early_stopping {patience})")
    return True


def end_epoch(session: Session) -> None:
    """Let the recipe do what follows an epoch that is validated and saved."""
    if session.recipe.after_epoch is not None and session.run.rank == 0:
        session.writer.wait()
        session.recipe.after_epoch(session.run, session.progress.epoch)


def run_epoch(session: Session, log: RunLog) -> None:
    """Train on what is left of the current epoch."""
    progress, options, data = session.progress, session.options.training, session.data.pairs
    bank = session.objective.bank
    if bank is not None and progress.epoch > 0 and progress.position == 0:
        fill_bank(bank, session.network, data, progress.epoch, session.run.device)
    sampler = session.sampler(progress.epoch, progress.position)
    workers, on_gpu = session.options.data.workers, session.run.device.type == "cuda"
    batches = iterate(pair_loader(data, sampler, workers, pin_memory=on_gpu))
    if on_gpu and not workers:
        batches = ahead(batches)
    session.network.train()
    clock = _Clock()
    if workers:
        session.writer.wait()  # a loader process forked meanwhile could inherit a lock that nobody gives back
    for batch in batches:
        clock.data_ready()
        on_device = data.with_images(batch.to(session.run.device))
        result = take_step(session, on_device, batch.caption_ids)
        clock.step_done(session.unseen[-1].pairs)
        if session.pair_losses is not None:
            ids = gather_rows(on_device.image_ids), gather_rows(on_device.caption_ids)
            session.pair_losses.add(result.scores, *ids)
        if progress.position == session.steps_per_epoch:
            break
        if progress.step % options.log_step == 0:
            log_training(session, log, result, clock, batch)
        if validation_due(session):
            clock.dropped += look(session, log)
            validate(session, log)
            session.network.train()
            clock.restart()
        if session.interrupt.stops():
            raise Interrupted
    if clock.steps:
        log_training(session, log, result, clock, batch)
    found = None if session.pair_losses is None else session.pair_losses.take_auc()
    if found is not None:
        log.noise(progress.step, *found)


def take_step(session: Session, batch: PairBatch, captions: Tensor) -> StepResult:
    """Compute the loss of a batch and update the parameters; whether that happened, `look` tells later.

    Args:
        captions: [B] numbers of the batch's captions, on the host.
    """
    progress, optimizer = session.progress, session.optimizer
    factor = session.rate_factor(progress.epoch + progress.position / session.steps_per_epoch)
    for group, rate in zip(optimizer.param_groups, session.initial_rates, strict=True):
        group["lr"] = rate * factor
    session.objective.begin(progress.epoch, progress.position, session.steps_per_epoch)
    optimizer.zero_grad(set_to_none=True)  # before the forward pass, which needs the memory
    result: StepResult = session.step(batch)
    spoilt = update(result.loss, optimizer, session.trained, session.options.training.grad_clip)
    if session.average is not None:
        session.average.update(spoilt)
    losses = {name: value.detach() for name, value in losses_of(result).items()}
    pairs = len(captions) * session.run.world_size
    session.unseen.append(TakenStep(spoilt, losses, pairs, progress.epoch, progress.position, captions))
    progress.position += 1
    progress.step += 1
    return result


def update(loss: Tensor, optimizer: torch.optim.Optimizer, trained: list[nn.Parameter], grad_clip: float) -> Tensor:
    """Make one optimizer step unless loss or gradient is not finite; the host does not wait for the device.

    Returns:
        float32 scalar on the device, 1 if the step was not made.
    """
    loss.backward()
    norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
    if grad_clip:
        for parameters in optimizers.distinct(trained):  # one listed twice is scaled twice (VSRN's captioner)
            nn.utils.clip_grads_with_norm_(parameters, grad_clip, norm)
    spoilt = largest_of_all((~torch.isfinite(loss.detach() + norm)).float())
    optimizers.update(optimizer, spoilt)
    return spoilt


def look(session: Session, log: RunLog) -> list[bool]:
    """Look at the steps since the last look, with one wait for the device; log those that were made.

    Returns:
        Which of them were not made, because loss or gradient was not finite.

    Raises:
        InputError: three of them in a row, or too large a share of all steps.
    """
    steps, session.unseen = session.unseen, []
    dropped: list[bool] = torch.stack([step.spoilt for step in steps]).bool().tolist() if steps else []
    for step, was_dropped in zip(steps, dropped, strict=True):
        session.taken += 1
        session.dropped += was_dropped
        session.dropped_in_a_row = session.dropped_in_a_row + 1 if was_dropped else 0
        if session.dropped > max(FEW_DROPPED, MOST_DROPPED * session.taken):
            raise InputError(
                f"{session.dropped} of {session.taken} steps were dropped because loss or gradient was not finite; "
                "lower --learning_rate or check the features with `python -m vse check`"
            )
        if session.dropped_in_a_row == BAD_LOSSES:
            raise InputError(
                f"the loss was {step.losses['loss'].item()} three times in a row, last for the batch at position "
                f"{step.position} of epoch {step.epoch} (captions {step.captions[:5].tolist()} ...); lower "
                "--learning_rate or check the features with `python -m vse check`"
            )
        if not was_dropped:
            log.add(step.losses, step.pairs, session.objective.averaged)
    return dropped


def validation_due(session: Session) -> bool:
    """Return whether the run stands where it validates and has not done so yet."""
    progress, every = session.progress, session.options.training.val_step
    ends_epoch = progress.position == 0 and progress.step > 0
    return progress.validated != progress.step and (ends_epoch or (progress.step > 0 and progress.step % every == 0))


def validate(session: Session, log: RunLog) -> None:
    """Score the dev split, log its metrics, save, and keep the model if it is the best."""
    progress, dev = session.progress, session.data.dev
    average = nullcontext() if session.average is None else session.average.in_place()
    with suppress(Interrupted), session.interrupt.at_once(), average:
        scores = score_split(session.network, dev, session.run.device, progress=log.validating)
        metrics = evaluate(scores, dev.split.caption_image)
    if session.interrupt.stops():
        raise Interrupted
    progress.validated = progress.step
    score = session.recipe.selection.score(metrics)
    best = score > progress.best
    progress.best = max(progress.best, score)
    if best:
        session.record.note_best(score, log.epoch_of(progress.step), progress.step)
    log.validation(progress.step, metrics, session.recipe.tags, best)
    save(session, best, at_once=progress.position == 0)


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


class _Clock:
    """Time spent in steps, the share of it spent waiting for data, and the steps that were dropped."""

    def __init__(self) -> None:
        self.dropped: list[bool] = []  # of each step since the last line
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
    """Return the losses of a step by the names that logs know them by."""
    return {
        "loss": result.loss,
        "retrieval": result.image_to_text + result.text_to_image,
        "image_to_text": result.image_to_text,
        "text_to_image": result.text_to_image,
        **result.extra,
    }


def log_training(session: Session, log: RunLog, result: StepResult, clock: _Clock, batch: CaptionBatch) -> None:
    """Log the steps since the last line, look whether training has collapsed, and restart the clock."""
    clock.dropped += look(session, log)
    elapsed = max(clock.last - clock.started, 1e-9)
    numbers = {
        "lr": session.optimizer.param_groups[0]["lr"],
        "pairs_per_second": clock.pairs / elapsed,
        "data_share": clock.waited / elapsed,
        "batch_time": elapsed / clock.steps,
        "data_time": clock.waited / clock.steps,
    }
    if any(clock.dropped):
        numbers["dropped_steps"] = sum(clock.dropped)
        warn(f"{sum(clock.dropped)} of {len(clock.dropped)} steps were dropped: loss or gradient was not finite")
    clock.dropped = []
    log.training(session.progress.step, numbers, session.recipe.tags)
    pairs = Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)
    session.guard.look(result, session.objective, pairs, session.progress.step, session.steps_per_epoch)
    clock.restart()
