"""What a run tells: progress on the terminal, metrics.jsonl, TensorBoard."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from vse.console import say


class RunLog:
    """The log of a training run, written by the first process only.

    TensorBoard events carry the published tag names. metrics.jsonl has one JSON object a line: training lines with
    `step`, `epoch`, `loss`, `lr`, `pairs_per_second`, `data_share`; validation lines with `step`, `epoch` and metrics.

    Args:
        step: step at which the run goes on; what an interrupted run logged after it is dropped.
    """

    def __init__(self, folder: Path, step: int, total_steps: int, writes: bool = True) -> None:
        self.writes = writes
        self.total_steps = total_steps
        self.bar: Any = None
        if not writes:
            return
        self.metrics_file = folder / "metrics.jsonl"
        _keep_until(self.metrics_file, step)
        self.events = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        if sys.stderr.isatty():
            self.bar = tqdm(total=total_steps, initial=step, unit="step", dynamic_ncols=True)
        self._started, self._first_step = time.monotonic(), step

    def training(
        self, step: int, epoch: int, num_epochs: int, values: dict[str, float], tags: dict[str, float]
    ) -> None:
        """One log line of training: `values` for people and metrics.jsonl, `tags` for TensorBoard."""
        if not self.writes:
            return
        self._record({"step": step, "epoch": epoch, **values})
        for tag, value in tags.items():
            self.events.add_scalar(tag, value, step)
        text = (
            f"loss {values['loss']:.4f}  lr {values['lr']:.2g}  {values['pairs_per_second']:.0f} pairs/s  "
            f"waiting for data {values['data_share']:.0%}"
        )
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
            self.bar.set_description(f"epoch {epoch + 1}/{num_epochs}  {text}")
        else:
            seconds = (time.monotonic() - self._started) / (step - self._first_step) * (self.total_steps - step)
            left = f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02d}:{int(seconds) % 60:02d}"
            say(f"epoch {epoch + 1}/{num_epochs}  step {step}/{self.total_steps}  {text}  left {left}")

    def validation(self, step: int, epoch: int, metrics: dict[str, float], tags: dict[str, float], best: bool) -> None:
        """The metrics of a validation after `step` steps."""
        if not self.writes:
            return
        self._record({"step": step, "epoch": epoch, **metrics})
        for tag, value in tags.items():
            self.events.add_scalar(tag, value, step)
        self.line(
            f"validation after {step} steps: image to text R@1 {metrics['r1']:.1f}  R@5 {metrics['r5']:.1f}  "
            f"R@10 {metrics['r10']:.1f}   text to image {metrics['r1i']:.1f}  {metrics['r5i']:.1f}  "
            f"{metrics['r10i']:.1f}   rsum {metrics['rsum']:.1f}{'  (best)' if best else ''}"
        )

    def line(self, text: str) -> None:
        if self.bar is not None:
            self.bar.write(text)
        else:
            say(text)

    def close(self) -> None:
        if self.writes:
            self.events.close()
        if self.bar is not None:
            self.bar.close()

    def _record(self, values: dict[str, Any]) -> None:
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def _keep_until(metrics_file: Path, step: int) -> None:
    """Drop the lines after `step`, and a last line that was cut off, from an interrupted run's metrics.jsonl."""
    if not metrics_file.exists():
        return
    kept = []
    for line in metrics_file.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):
            continue
    metrics_file.write_text("".join(kept), encoding="utf-8")
