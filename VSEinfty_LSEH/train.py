"""Train VSE-infinity with the LSEH objective or one of its rivals.

    python train.py                                the embedded demo data set with GRU captions, minutes on two cores
    python train.py --data_path $DATA_PATH --data_name f30k --logger_name runs/f30k --model_name runs/f30k \\
        --learning_rate 0.0008 --lr_update 10
    python train.py ... --text_encoder bigru       words and a GRU instead of BERT: no download, no GPU needed
    python train.py ... --loss lmh                 max of hinges, VSE-infinity's own objective
    python train.py ... --resume auto              go on after an interruption, to the same weights

Expect the loss to fall within the first epoch and recall on dev to rise from chance; evaluate with eval.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vse.cli import run
from vse.console import say
from vse.losses import GrowingGradient, ObjectiveOptions, build_objective, check_combination, resolve
from vse.options import DataOptions, EncoderOptions, TrainingOptions, on_demo
from vse.training.loop import train
from vse.training.runs import start_run
from VSEinfty_LSEH import data, loss
from VSEinfty_LSEH.backbones import CHANNELS, build_backbone
from VSEinfty_LSEH.model import BertEncoder, GridEncoder, RegionEncoder, VSEinfty, WordEncoder
from VSEinfty_LSEH.schedule import ScheduleOptions, fixed_blocks, learning_rate_factor, make_optimizer
from VSEinfty_LSEH.text import Words
from VSEinfty_LSEH.wordpieces import WordPieces

NAME = "VSEinfty"
TAGS = {"loss": "Le", "image_to_text": "Le_S", "text_to_image": "Le_Im"}
DEMO = {
    "text_encoder": "bigru",
    "num_epochs": 8,
    "embed_size": 256,
    "word_dim": 128,
    "learning_rate": 0.001,
    "lr_update": 6,
}


@dataclass
class NetworkOptions(EncoderOptions, data.InputOptions):
    """The network's own options."""

    no_txtnorm: bool = False
    """Do not normalise caption embeddings."""
    masked_batchnorm: bool = False
    """Regions: BatchNorm's statistics leave out the padding that dropped regions make (a repair)."""


@dataclass
class Options(NetworkOptions, ScheduleOptions, ObjectiveOptions, TrainingOptions, DataOptions):
    """Defaults are those of the published LSEH variant."""

    reset_start_epoch: bool = False
    """With --resume: take the weights only, like --init_model, and begin with epoch 0."""


def build(
    options: NetworkOptions, image_shape: tuple[int, ...], text: Words | WordPieces, pretrained: bool = True
) -> VSEinfty:
    """The network that the options describe, for images of this shape and this text.

    Args:
        pretrained: with BERT's and the CNN's weights; not where a checkpoint brings them.
    """
    images: RegionEncoder | GridEncoder
    captions: BertEncoder | WordEncoder
    normalise_images, normalise_captions = not options.no_imgnorm, not options.no_txtnorm
    if options.precomp_enc_type == "backbone":
        weights = Path(options.backbone_path) if options.backbone_path and pretrained else None
        backbone = build_backbone(options.backbone_source, weights, pretrained)
        images = GridEncoder(backbone, CHANNELS, options.embed_size, normalise_images)
    else:
        images = RegionEncoder(image_shape[-1], options.embed_size, normalise_images, options.masked_batchnorm)
    if isinstance(text, WordPieces):
        captions = BertEncoder(text.bert(pretrained), text.shape["hidden_size"], options.embed_size, normalise_captions)
    else:
        captions = WordEncoder(len(text), options.word_dim, options.embed_size, options.num_layers, normalise_captions)
    return VSEinfty(images, captions)


def main(options: Options) -> None:
    """Train; the run folder holds the result."""
    if options.vse_mean_warmup_epochs:
        options = replace(options, warmup_epochs=options.vse_mean_warmup_epochs, warmup_form="sum")
    options = resolve(options, loss.DEMO if on_demo(options) else loss.DEFAULTS)
    objective = build_objective(options)
    say(f"objective: {objective}")
    training_run = start_run(options)
    training = data.training_data(options, objective.needs_descriptions)
    network = build(options, training.pairs.split.images.shape, training.vocabulary)
    check_combination(options, network.pairwise, network.bounded_scores)
    grids = isinstance(network.image_encoder, GridEncoder)
    if grids and options.warmup == "loss":
        objective = GrowingGradient(objective, options.embedding_warmup_epochs)

    def prepare_epoch(epoch: int, position: int) -> None:
        if isinstance(network.image_encoder, GridEncoder):
            network.image_encoder.fix(fixed_blocks(epoch, options))

    if options.reset_start_epoch and options.resume is not None:
        source = str(training_run.checkpoint) if options.resume == "auto" else options.resume
        options = replace(options, init_model=source, resume=None)
    train(
        NAME,
        training_run,
        network,
        objective,
        training,
        options,
        optimizer=make_optimizer(network, objective, options),
        learning_rate_factor=learning_rate_factor(options, grids),
        prepare_epoch=prepare_epoch,
        drop_last=not grids,
        tags=TAGS,
    )


if __name__ == "__main__":
    run(main, Options, demo=DEMO)
