"""Train VSE-infinity with LSEH or another objective.

    python train.py                                the built-in demo data set with GRU captions, minutes on two cores
    python train.py --data_path $DATA_PATH --data_name f30k --logger_name runs/f30k --model_name runs/f30k \\
        --learning_rate 0.0008 --lr_update 10
    python train.py ... --text_encoder bigru       words and a GRU instead of BERT; needs no download and no GPU
    python train.py ... --loss lmh                 max of hinges, VSE-infinity's own objective
    python train.py ... --resume auto              resume after an interruption, to the same weights

Expect the loss to fall within the first epoch and recall on dev to rise from chance; evaluate with eval.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vse.cli import run
from vse.options import DataOptions, ObjectiveOptions, on_demo
from VSEinfty_LSEH import loss
from VSEinfty_LSEH.network import FOLDER, NetworkOptions
from VSEinfty_LSEH.options import ScheduleOptions

DEMO = {
    "text_encoder": "bigru",
    "batch_size": 64,
    "num_epochs": 8,
    "embed_size": 256,
    "word_dim": 128,
    "learning_rate": 0.001,
    "lr_update": 6,
}


@dataclass
class Options:
    """Defaults are those of the original LSEH variant."""

    data: DataOptions = field(default_factory=DataOptions)
    training: ScheduleOptions = field(default_factory=ScheduleOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    from vse.losses import GrowingGradient, build_objective, resolve
    from vse.training.loop import train
    from VSEinfty_LSEH.schedule import recipe

    training = options.training
    if training.reset_start_epoch and training.resume is not None:
        source = f"{training.model_name or training.logger_name}/checkpoint.pth.tar"
        source = source if training.resume == "auto" else training.resume
        options.training = training = replace(training, init_model=source, resume=None)
    if training.vse_mean_warmup_epochs:
        epochs = float(training.vse_mean_warmup_epochs)
        options.objective = replace(options.objective, warmup_epochs=epochs, warmup_form="sum")
    options.objective = resolve(options.objective, loss.DEMO if on_demo(options.data) else loss.DEFAULTS)
    objective = build_objective(options.objective)
    grids = options.network.precomp_enc_type == "backbone"
    if grids and training.warmup == "loss":
        objective = GrowingGradient(objective, training.embedding_warmup_epochs)
    train(FOLDER, options, objective, recipe(training, grids))


if __name__ == "__main__":
    run(main, Options, demo=DEMO, shown=loss.DEFAULTS.shown)
