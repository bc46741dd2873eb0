"""Logs of a run: progress on the terminal, metrics.jsonl, TensorBoard, and optionally a tracking service."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
import torch
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from vse.console import say, warn
from vse.files import write_atomically
from vse.records import flat
from vse.training.tracking import Tracker, open_tracker

Item = TypeVar("Item")

WIDTH = 80

LOGGED_METRICS = ("r1", "r5", "r10", "medr", "meanr", "r1i", "r5i", "r10i", "medri", "meanri", "rsum")


class _Step(NamedTuple):
    losses: Mapping[str, Tensor]
    pairs: int
    averaged: bool


class RunLog:
    """The log of a training run, written by the first process only.

    metrics.jsonl has one JSON object per line. `kind` is "train", "dev" or "noise"; `step` counts batches from 1;
    `epoch` is the epoch that this step belongs to, from 1. Training rows hold `loss` and its parts per pair, `lr`,
    `pairs_per_second` and `data_share`; dev rows hold the metrics, `ends_epoch`, `best` and `selected_by`; noise rows
    hold `auc` and the number of `pairs` behind it.
    `pandas.read_json("metrics.jsonl", lines=True)` reads it.

    TensorBoard has the same numbers in the groups train/ and dev/. Under published/ are the tags of the original code,
    where a loss is what that code logs: the sum over a batch for the objectives that are sums.

    A log that cannot be written costs a warning, never the run.

    Args:
        step: step at which the run continues; rows that an interrupted run logged after it are dropped.
        validated: step of the run's last validation; default: `step`. Later ones are repeated.
        pairs_per_step: pairs of a full batch, over all processes.
        window: steps that a training row's losses are averaged over (`--log_step`).
        selected_by: name of the score that chooses the best model.
        options: shown by TensorBoard and the tracking service.
        track: tracking service, see `vse.training.tracking.TRACKERS`.
        writes: this is the first process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        step: int,
        validated: int | None = None,
        steps_per_epoch: int,
        num_epochs: int,
        pairs_per_step: int,
        window: int = 10,
        selected_by: str = "rsum",
        options: Mapping[str, Any] | None = None,
        track: str | None = None,
        writes: bool = True,
    ) -> None:
        self.steps_per_epoch, self.num_epochs, self.pairs_per_step = steps_per_epoch, num_epochs, pairs_per_step
        self.selected_by, self.writes = selected_by, writes
        self.total_steps = steps_per_epoch * num_epochs
        self._recent: deque[_Step] = deque(maxlen=max(1, window))
        self._broken: set[str] = set()
        self._bar: Any = None
        if not writes:
            return
        self._file = folder / "metrics.jsonl"
        self._safely("metrics.jsonl", lambda: keep_until(self._file, step, validated))
        self._cut_off = False
        values = flat(options or {})
        self._events: Any = None
        self._safely("TensorBoard", lambda: self._open_events(folder, step, values))
        self._tracker: Tracker | None = None if track is None else open_tracker(track, folder, values)
        if sys.stderr.isatty():
            columns = min(WIDTH, shutil.get_terminal_size().columns)
            self._bar = tqdm(total=self.total_steps, initial=step, ncols=columns, bar_format=_BAR)
        self._started, self._first_step = time.monotonic(), step

    def add(self, losses: Mapping[str, Tensor], pairs: int, averaged: bool = False) -> None:
        """Take in the losses of a step, scalars on any device; nothing waits for the device.

        Args:
            losses: `loss`, the objective's directions and the network's extra terms.
            pairs: pairs of the step, over all processes.
            averaged: the objective is a mean over the pairs, not a sum (`Objective.averaged`).
        """
        if self.writes:
            if self._recent and self._recent[-1].losses.keys() != losses.keys():
                self._recent.clear()  # a term that begins or ends: means are over steps of one kind
            self._recent.append(_Step({name: value.detach() for name, value in losses.items()}, pairs, averaged))

    def training(self, step: int, numbers: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Log training after `step` steps: the running means of the losses, and `numbers`.

        Args:
            numbers: `lr`, `pairs_per_second`, `data_share`, `batch_time`, `data_time`.
            tags: our name of a loss -> the original code's tag.
        """
        if not self.writes or not self._recent:
            return
        losses = self._means()
        told = {name: value for name, value in numbers.items() if name not in _TIMES}
        self._record({"kind": "train", "step": step, "epoch": self.epoch_of(step), **losses, **told})
        scale = 1.0 if self._recent[-1].averaged else float(self.pairs_per_step)
        times = {name: numbers[name] for name in _TIMES if name in numbers}
        place = {
            "epoch": (step - 1) // self.steps_per_epoch,
            "step": (step - 1) % self.steps_per_epoch + 1,
            "Eit": step,
        }
        published = {tags[name]: value * scale for name, value in losses.items() if name in tags}
        self._scalars(
            step,
            {f"train/{name}": value for name, value in (losses | told).items()},
            place | times | {"lr": numbers["lr"]} | published,
        )
        self._tell_training(step, losses["loss"], numbers)

    def validation(self, step: int, metrics: Mapping[str, float], tags: Mapping[str, str], best: bool) -> None:
        """Log the metrics on dev after `step` steps.

        Args:
            metrics: result of `vse.evaluation.ranking.evaluate`.
            tags: our name of a metric -> the original code's tag, where it is another.
            best: the selection score is the best so far.
        """
        if not self.writes:
            return
        ends_epoch = step % self.steps_per_epoch == 0
        place = {"kind": "dev", "step": step, "epoch": self.epoch_of(step), "ends_epoch": ends_epoch}
        self._record({**place, "best": best, "selected_by": self.selected_by, **metrics})
        logged = {name: metrics[name] for name in LOGGED_METRICS if name in metrics}
        published = {
            tag: metrics[name] for name, tag in ({n: n for n in logged} | dict(tags)).items() if name in metrics
        }
        self._scalars(step, {f"dev/{name}": value for name, value in logged.items()}, published)
        epoch = f"{step // self.steps_per_epoch}" if ends_epoch else f"{step / self.steps_per_epoch:.2f}"
        i2t, t2i = (" ".join(_percent(metrics[f"r{k}{suffix}"]) for k in (1, 5, 10)) for suffix in ("", "i"))
        mark = f" (best {self.selected_by})" if best else ""
        self.line(f"epoch {epoch}  i2t {i2t}  t2i {t2i}  rsum {metrics['rsum']:.1f}{mark}")

    def noise(self, step: int, auc: float, pairs: int) -> None:
        """Log after an epoch of `step` steps how well the losses of its pairs tell those that do not match.

        Args:
            auc: see `vse.training.pair_losses`.
            pairs: number of pairs behind it; fewer than all where the epoch was interrupted.
        """
        if not self.writes:
            return
        epoch = self.epoch_of(step)
        self._record({"kind": "noise", "step": step, "epoch": epoch, "auc": auc, "pairs": pairs})
        self._scalars(step, {"train/noise_auc": auc}, {})
        self.line(f"epoch {epoch}  AUC of the losses of {pairs} pairs for mismatched ones: {auc:.3f}")

    def validating(self, blocks: Sequence[Item]) -> Iterable[Item]:
        """Pass the blocks of a validation through and move the bar meanwhile; see `vse.evaluation.scoring`."""
        return self._moving(blocks) if self._bar is not None else blocks

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if not self.writes:
            return
        if self._bar is not None:
            self._bar.write(text)
        else:
            say(text)

    def close(self) -> None:
        """End the log."""
        if not self.writes:
            return
        if self._events is not None:
            self._safely("TensorBoard", self._events.close)
        if self._tracker is not None:
            self._safely("the tracking service", self._tracker.close)
        if self._bar is not None:
            self._bar.close()

    def epoch_of(self, step: int) -> int:
        """Return the epoch that a step belongs to."""
        return (max(step, 1) - 1) // self.steps_per_epoch + 1

    def _means(self) -> dict[str, float]:
        """Mean per pair over the last steps, weighted by their pairs: a small last batch counts for what it holds."""
        names = list(self._recent[-1].losses)
        weights = torch.tensor([step.pairs if step.averaged else 1 for step in self._recent], dtype=torch.double)
        table = torch.stack([torch.stack([step.losses[name].double() for name in names]) for step in self._recent])
        means = weights @ table.cpu() / sum(step.pairs for step in self._recent)
        return dict(zip(names, means.tolist(), strict=True))

    def _moving(self, blocks: Sequence[Item]) -> Iterator[Item]:
        before = self._bar.desc
        for number, block in enumerate(blocks):
            self._bar.set_description_str(f"validating {number}/{len(blocks)} ")
            yield block
        self._bar.set_description_str(before)

    def _tell_training(self, step: int, loss: float, numbers: Mapping[str, float]) -> None:
        epoch = f"epoch {self.epoch_of(step)}/{self.num_epochs}"
        if self._bar is not None:
            self._bar.set_description_str(f"{epoch} loss {loss:.4g} ", refresh=False)
            self._bar.update(step - self._bar.n)
            return
        seconds = (time.monotonic() - self._started) / max(1, step - self._first_step) * (self.total_steps - step)
        left = f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02d}:{int(seconds) % 60:02d}"
        speed = f"lr {numbers['lr']:.2g}  {numbers['pairs_per_second']:.0f} pairs/s"
        waiting = f"  {numbers['data_share']:.0%} waiting" if numbers["data_share"] >= 0.1 else ""
        say(f"{epoch}  step {step}/{self.total_steps}  loss {loss:.4g}  {speed}{waiting}  left {left}")

    def _record(self, row: Mapping[str, Any]) -> None:
        def write() -> None:
            start = b"\n" if self._cut_off else b""
            self._cut_off = True
            with self._file.open("ab", buffering=0) as file:
                file.write(start + orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            self._cut_off = False

        self._safely("metrics.jsonl", write)

    def _open_events(self, folder: Path, step: int, options: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # seconds of imports, for the process that writes
        from torch.utils.tensorboard.summary import hparams

        self._events = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        if options and not step:
            known = {name: value if isinstance(value, (int, float)) else str(value) for name, value in options.items()}
            for summary in hparams(known, {"dev/rsum": 0.0}):
                self._events.file_writer.add_summary(summary)
            table = tabulate(options.items(), headers=["option", "value"], tablefmt="github", disable_numparse=True)
            self._events.add_text("options", table)

    def _scalars(self, step: int, ours: Mapping[str, float], published: Mapping[str, float]) -> None:
        def write() -> None:
            for tag, value in (*ours.items(), *((f"published/{tag}", value) for tag, value in published.items())):
                self._events.add_scalar(tag, value, step)

        if self._events is not None and "TensorBoard" not in self._broken:
            self._safely("TensorBoard", write)
        tracker = self._tracker
        if tracker is not None:
            self._safely("the tracking service", lambda: tracker.log(ours, step))

    def _safely(self, name: str, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as problem:
            if name not in self._broken:
                self._broken.add(name)
                warn(f"{name} cannot be written ({problem}); the run goes on without it")


_BAR = "{desc}|{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}"

_TIMES = ("batch_time", "data_time")


def _percent(value: float) -> str:
    return f"{value:4.1f}" if value < 99.95 else " 100"


def keep_until(metrics_file: Path, step: int, validated: int | None = None) -> None:
    """Drop the rows after `step` from an interrupted run's metrics.jsonl, and set damaged lines aside.

    Rows of dev are dropped after the step `validated`, if it is given.

    Damaged lines (cut off by a crash, or not of this form) are appended to metrics.jsonl.damaged. The file appears
    whole or not at all.
    """
    if not metrics_file.is_file():  # a device would never end
        return
    kept, damaged = [], []
    last = {"train": step, "noise": step, "dev": step if validated is None else validated}
    for line in metrics_file.read_bytes().splitlines(keepends=True):
        try:
            row = orjson.loads(line)
            if int(row["step"]) <= last.get(row["kind"], -1) and line.endswith(b"\n"):
                kept.append(line)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            damaged.append(line if line.endswith(b"\n") else line + b"\n")
    if damaged:
        aside = metrics_file.with_name(f"{metrics_file.name}.damaged")
        with aside.open("ab") as file:
            file.writelines(damaged)
        number = f"{len(damaged)} damaged line{'s' if len(damaged) > 1 else ''}"
        warn(f"{metrics_file}: {number} moved to {aside.name}")
    write_atomically(metrics_file, lambda file: file.writelines(kept))
