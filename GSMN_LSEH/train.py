"""Train GSMN with LSEH or another objective.

    python train.py                                            the built-in demo data set, seven CPU minutes
    python train.py --data_path "$DATA_PATH" --data_name f30k_precomp --vocab_path "$VOCAB_PATH" \\
        --logger_name runs/log --bi_gru --max_violation --lambda_softmax 20 --embed_size 1024 --is_sparse
    python train.py ... --lambda_softmax 10                    the authors' value for MS-COCO
    python train.py ... --graph propagate                      neighbours are mixed, as the paper describes
    python train.py ... --resume auto                          resume after an interruption, to the same weights

Expect the loss to fall within the first epoch and recall on dev to rise from chance; evaluate with evaluation.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from GSMN_LSEH import loss
from GSMN_LSEH.network import FOLDER, NetworkOptions
from vse.cli import run
from vse.options import DataOptions, ObjectiveOptions, TrainingOptions, on_demo

DEMO = {
    "bi_gru": True,
    "lambda_softmax": 20.0,
    "num_epochs": 6,
    "batch_size": 64,
    "embed_size": 256,
    "word_dim": 128,
}


@dataclass
class Options:
    """Defaults are those of the original LSEH variant."""

    data: DataOptions = field(default_factory=DataOptions)
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(learning_rate=0.0006, lr_update=4, val_step=2000, log_step=20)
    )
    network: NetworkOptions = field(default_factory=NetworkOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    from vse.losses import build_objective, resolve
    from vse.training.loop import train

    options.objective = resolve(options.objective, loss.DEMO if on_demo(options.data) else loss.DEFAULTS)
    train(FOLDER, options, build_objective(options.objective))


if __name__ == "__main__":
    run(main, Options, demo=DEMO, shown=loss.DEFAULTS.shown)
