"""Train the network of VSE++ with the hubness-aware loss, HAL.

    python train.py                                            the embedded demo data set, about a minute on two cores
    python3 train.py --data_path data/data --vocab_path data/vocab/ --data_name f30k_precomp --batch_size 128
        --learning_rate 0.001 --lr_update 8 --num_epochs 13 --logger_name runs/f30k --local_alpha 60.00 --local_ep 0.7
    python train.py ... --memory_bank                          global weighting, from the second epoch on
    python train.py ... --max_violation                        VSE++'s own objective, to compare with
    python train.py ... --resume auto                          go on after an interruption, to the same weights

The loss is a mean, may be negative, and ends near -1.3 at best. Evaluate with evaluation.py or compute_results.py.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from HAL import data, loss
from HAL.data import HALDataOptions
from HAL.loss import HALOptions
from vse.cli import run
from vse.console import say
from vse.files import write_atomically
from vse.losses import build_objective, check_combination, resolve
from vse.options import TrainingOptions, on_demo
from vse.training.loop import train
from vse.training.runs import Run, start_run
from VSEpp_LSEH.train import NetworkOptions, build

NAME = "HAL"
TAGS = {"loss": "Loss"}
DEMO = {
    "batch_size": 32,
    "num_epochs": 12,
    "embed_size": 256,
    "word_dim": 128,
    "lr_update": 10,
    "learning_rate": 0.001,
}
"""Small batches and steps leave the plateau of the first epochs sooner."""


@dataclass
class Options(NetworkOptions, HALOptions, TrainingOptions, HALDataOptions):
    """Defaults are those of the published code."""

    num_epochs: int = 15
    """Passes over the training captions."""
    learning_rate: float = 0.0002
    """Initial learning rate."""
    lr_update: int = 8
    """Epochs between divisions of the learning rate by ten."""
    save_all: bool = False
    """Keep every epoch's model as Epoch-N-model.pth.tar, N from 1."""
    record_val: bool = False
    """Write the dev rsum of every epoch (from 0) to rst_val_NAME, NAME being the run folder's."""


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    options = resolve(loss.chosen(options), loss.DEMO if on_demo(options) else loss.DEFAULTS)
    objective = build_objective(options)
    say(f"objective: {objective}")
    training_run = start_run(options)
    training = data.training_data(options, objective.needs_descriptions)
    network = build(options, training.pairs.split.images, len(training.vocabulary))
    check_combination(options, network.pairwise, network.bounded_scores)

    def keep(epoch: int, position: int) -> None:
        if epoch > 0 and position == 0 and training_run.rank == 0:
            keep_epoch(options, training_run, epoch)

    train(
        NAME,
        training_run,
        network,
        objective,
        training,
        options,
        prepare_epoch=keep if options.save_all or options.record_val else None,
        tags=TAGS,
    )
    keep(options.num_epochs, 0)


def keep_epoch(options: Options, training_run: Run, epochs: int) -> None:
    """What `--save_all` and `--record_val` keep when so many epochs are done; again after resuming, to the same end."""
    if options.save_all:
        shutil.copyfile(training_run.checkpoint, training_run.checkpoint.with_name(f"Epoch-{epochs}-model.pth.tar"))
    if options.record_val:
        logged = map(json.loads, (training_run.folder / "metrics.jsonl").read_text().splitlines())
        rsum = {line["epoch"]: line["rsum"] for line in logged if line["kind"] == "dev" and line["ends_epoch"]}
        lines = "".join(f"Epoch: {epoch - 1} ; rsum: {rsum[epoch]:.1f}\n" for epoch in sorted(rsum))
        record = Path(f"rst_val_{training_run.folder.name}")
        write_atomically(record, lambda file: file.write(lines.encode()))


if __name__ == "__main__":
    run(main, Options, demo=DEMO)
