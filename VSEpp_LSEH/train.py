"""Train VSE++ with the LSEH objective or one of its rivals.

    python train.py                                            the embedded demo data set, about a minute on two cores
    python train.py --data_path $DATA_PATH --data_name f30k_precomp --logger_name runs/f30k_vse++ --max_violation
    python train.py ... --loss lmh                             max of hinges, VSE++'s own objective
    python train.py ... --resume auto                          go on after an interruption, to the same weights

Expect the loss to fall within the first epoch and recall on dev to rise from chance; evaluate with evaluation.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vse.cli import run
from vse.console import say
from vse.data.datasets import Images
from vse.data.features import Features
from vse.losses import ObjectiveOptions, build_objective, check_combination, resolve
from vse.nn.backbones import cnn_backbone
from vse.options import DataOptions, EmbeddingOptions, TrainingOptions
from vse.training.loop import train
from vse.training.runs import start_run
from VSEpp_LSEH import data, loss
from VSEpp_LSEH.data import PictureOptions
from VSEpp_LSEH.model import VSEpp

NAME = "VSEpp"
TAGS = {"loss": "Le", "image_to_text": "LeS", "text_to_image": "LeIm", "rsum": "Sum of Recall"}
DEMO = {
    "batch_size": 64,
    "num_epochs": 10,
    "embed_size": 256,
    "word_dim": 128,
    "learning_rate": 0.003,
    "lr_update": 8,
}
"""Sums of hinges, as published without --max_violation: the hardest negatives need more epochs from a cold start."""


@dataclass
class NetworkOptions(EmbeddingOptions):
    """The network's own options."""

    cnn_type: str = "vgg19"
    """torchvision network that reads pictures: vgg19 and resnet152 are published."""
    cnn_weights: str | None = None
    """State dict file of that network; default: torchvision's ImageNet weights."""
    finetune: bool = False
    """Train the CNN as well."""


@dataclass
class Options(NetworkOptions, PictureOptions, ObjectiveOptions, TrainingOptions, DataOptions):
    """Defaults are those of the published LSEH variant."""

    learning_rate: float = 0.002
    """Initial learning rate."""
    lr_update: int = 2
    """Epochs between divisions of the learning rate by ten."""


def build(options: NetworkOptions, images: Images, vocab_size: int, pretrained: bool = True) -> VSEpp:
    """The network that the options describe, for images of this kind.

    Args:
        pretrained: a CNN begins with its ImageNet weights; False where a checkpoint is loaded next.
    """
    cnn = None
    if not isinstance(images, Features):
        weights = Path(options.cnn_weights) if options.cnn_weights and pretrained else None
        cnn = cnn_backbone(options.cnn_type, weights, pretrained)
    return VSEpp(
        images.shape,
        vocab_size,
        options.word_dim,
        options.embed_size,
        options.num_layers,
        options.measure,
        options.use_abs,
        options.no_imgnorm,
        cnn,
        options.finetune,
    )


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    options = resolve(options, loss.DEFAULTS)
    objective = build_objective(options)
    say(f"objective: {objective}")
    training_run = start_run(options)
    training = data.training_data(options, options, objective.needs_descriptions)
    network = build(options, training.pairs.split.images, len(training.vocabulary))
    check_combination(options, network.pairwise, network.bounded_scores)
    train(NAME, training_run, network, objective, training, options, tags=TAGS)


if __name__ == "__main__":
    run(main, Options, demo=DEMO)
