"""Options of VSE-infinity's training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vse.options import Maybe, Switch, TrainingOptions
from vse.ranges import AtLeast0, AtLeast1, NonNegative


@dataclass
class ScheduleOptions(TrainingOptions):
    """The training run."""

    learning_rate: NonNegative = 0.0008
    """Initial learning rate."""
    lr_update: AtLeast1 = 10
    """Epoch at which the learning rate is divided by ten (counted from 0)."""
    lr_update2: AtLeast1 = 20
    """Epoch at which the learning rate is divided by ten again."""
    optim: Literal["adam", "sgd"] = "adam"
    """Optimizer; adam is AdamW."""
    vse_mean_warmup_epochs: AtLeast0 = 0
    """The original name of --warmup_epochs with --warmup_form sum."""
    embedding_warmup_epochs: AtLeast0 = 2
    """Grids: number of first epochs with the whole CNN frozen."""
    backbone_warmup_epochs: AtLeast0 = 5
    """Grids: number of epochs between unfreezing one block of the CNN and the one before it."""
    bert_lr_factor: Maybe[NonNegative] = None
    """BERT: fraction of the learning rate that it gets; default: 0.1, or 1 with sgd, as in the original code."""
    backbone_lr_factor: NonNegative = 0.01
    """Grids: fraction of the learning rate that the CNN gets."""
    warmup: Literal["loss", "learning_rate"] = "loss"
    """Grids: grow the loss (original) or the learning rate from 0 in the epoch that unfreezes the CNN."""
    reset_start_epoch: Switch = False
    """With --resume: load only the weights, like --init_model, and start at epoch 0."""
