"""VSE-infinity's optimizer, learning rates, and the stages in which a CNN is unfrozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from vse.losses import Objective
from vse.training.optimizers import with_towers
from vse.training.recipe import Recipe
from VSEinfty_LSEH.backbones import GridTower
from VSEinfty_LSEH.model import BERT_FACTOR, BertEncoder, GridEncoder, VSEinfty
from VSEinfty_LSEH.options import ScheduleOptions

WEIGHT_DECAY, WORDS_WEIGHT_DECAY = 1e-4, 0.01


def recipe(options: ScheduleOptions, grids: bool) -> Recipe:
    """Return the training of a network that reads regions, or with `grids` one that reads pictures."""

    def unfreeze(network: VSEinfty, epoch: int) -> None:
        cast(GridTower, network.image_tower).fix(fixed_blocks(epoch, options))

    return Recipe(
        make_optimizer=lambda network, objective, _: make_optimizer(network, objective, options),
        schedule=lambda _: learning_rate_factor(options, grids),
        before_epoch=unfreeze if grids else None,
        freezes=grids,
        drop_last=not grids,
        tags={"loss": "Le", "image_to_text": "Le_S", "text_to_image": "Le_Im"},
    )


def make_optimizer(network: VSEinfty, objective: Objective, options: ScheduleOptions) -> torch.optim.Optimizer:
    """AdamW or SGD over the network's and the objective's parameters, with the published weight decays."""
    grids = isinstance(network.image_encoder, GridEncoder)
    sgd = options.optim == "sgd"
    bert_factor = options.bert_lr_factor
    if bert_factor is None:
        bert_factor = 1.0 if sgd else BERT_FACTOR
    groups = network.parameter_groups(options.learning_rate, bert_factor, options.backbone_lr_factor)
    groups = with_towers(groups, network, options.learning_rate)
    own = list(objective.parameters())
    if own:
        groups.append({"name": "objective", "params": own, "lr": options.learning_rate, "weight_decay": 0.0})
    if sgd:
        for group in groups:
            group["weight_decay"] = WEIGHT_DECAY if group.get("name") == "backbone" else 0.0
        return torch.optim.SGD(groups, momentum=0.9, nesterov=grids)
    words = not isinstance(network.caption_encoder, BertEncoder)
    return torch.optim.AdamW(groups, weight_decay=WORDS_WEIGHT_DECAY if words and not grids else WEIGHT_DECAY)


def learning_rate_factor(options: ScheduleOptions, grids: bool) -> Callable[[float], float]:
    """Epoch, with the part of it that is done, -> factor on every group's initial learning rate."""

    def factor(epoch: float) -> float:
        share = 0.1 ** ((epoch >= options.lr_update) + (epoch >= options.lr_update2))
        growing = epoch - options.embedding_warmup_epochs
        return share * growing if grids and options.warmup == "learning_rate" and 0 <= growing < 1 else share

    return factor


def fixed_blocks(epoch: int, options: ScheduleOptions) -> int:
    """Count the CNN's blocks that are frozen in an epoch: 4 (all), 3, 2, 1, then 0."""
    opened = epoch - options.embedding_warmup_epochs
    if opened < 0:
        return 4
    return max(0, 3 - opened // options.backbone_warmup_epochs) if options.backbone_warmup_epochs else 0
