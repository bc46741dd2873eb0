"""Train the network of VSE++ with the hubness-aware loss, HAL.

    python train.py                                            the built-in demo data set, about a minute on two cores
    python3 train.py --data_path data/data --vocab_path data/vocab/ --data_name f30k_precomp --batch_size 128 \\
        --learning_rate 0.001 --lr_update 8 --num_epochs 13 --logger_name runs/f30k --local_alpha 60.00 --local_ep 0.7
    python train.py ... --memory_bank                          global weighting, from the second epoch on
    python train.py ... --max_violation                        VSE++'s own objective, for comparison
    python train.py ... --resume auto                          resume after an interruption, to the same weights

The loss is a mean; it can be negative and ends near -1.3 at best. Evaluate with evaluation.py or compute_results.py.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from HAL import loss
from HAL.loss import HALOptions
from HAL.network import FOLDER, NetworkOptions
from vse.cli import run
from vse.files import read_json_lines, write_atomically
from vse.options import DataOptions, Switch, TrainingOptions, on_demo
from vse.ranges import AtLeast1

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.training.runs import Run

DEMO = {
    "batch_size": 64,
    "num_epochs": 10,
    "embed_size": 256,
    "word_dim": 128,
    "learning_rate": 0.003,
    "lr_update": 8,
}
"""As VSE++'s."""


@dataclass
class HALTrainingOptions(TrainingOptions):
    """The training run."""

    num_epochs: AtLeast1 = 15
    """Passes over the training captions."""
    lr_update: AtLeast1 = 8
    """Epochs between divisions of the learning rate by ten."""
    save_all: Switch = False
    """Keep every epoch's model as Epoch-N-model.pth.tar, N from 1."""
    record_val: Switch = False
    """Write the dev rsum of every epoch (from 0) to rst_val_NAME, NAME being the run folder's."""


@dataclass
class Options:
    """Defaults are those of the original code."""

    data: DataOptions = field(default_factory=DataOptions)
    training: HALTrainingOptions = field(default_factory=HALTrainingOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    objective: HALOptions = field(default_factory=HALOptions)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    from vse.losses import build_objective, resolve
    from vse.training.loop import train
    from vse.training.recipe import Recipe

    options.objective = resolve(loss.chosen(options.objective), loss.DEMO if on_demo(options.data) else loss.DEFAULTS)
    keep = options.training.save_all or options.training.record_val
    recipe = Recipe(
        tags={"loss": "Loss"},
        after_epoch=(lambda training_run, epochs: keep_epoch(options.training, training_run, epochs)) if keep else None,
    )
    train(FOLDER, options, build_objective(options.objective), recipe)


def keep_epoch(options: HALTrainingOptions, training_run: Run, epochs: int) -> None:
    """Keep what `--save_all` and `--record_val` ask for, once `epochs` epochs are done."""
    if options.save_all:
        kept = training_run.checkpoint.with_name(f"Epoch-{epochs}-model.pth.tar")
        with training_run.checkpoint.open("rb") as checkpoint:
            write_atomically(kept, partial(shutil.copyfileobj, checkpoint))
    if options.record_val:
        logged = read_json_lines(training_run.folder / "metrics.jsonl")
        rsum = {line["epoch"]: line["rsum"] for line in logged if line["kind"] == "dev" and line["ends_epoch"]}
        lines = "".join(f"Epoch: {epoch - 1} ; rsum: {rsum[epoch]:.1f}\n" for epoch in sorted(rsum))
        record = Path(f"rst_val_{training_run.folder.name}")
        write_atomically(record, lambda file: file.write(lines.encode()))


if __name__ == "__main__":
    run(main, Options, demo=DEMO, shown=loss.DEFAULTS.shown)
