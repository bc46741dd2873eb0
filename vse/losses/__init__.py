"""Training objectives, one a file, and how options choose and bind one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any, Literal

from vse.errors import InputError
from vse.losses.hal import HAL
from vse.losses.infonce import InfoNCE
from vse.losses.lseh import LSEH
from vse.losses.luwm import LUWM
from vse.losses.max_hinge import MaxHinge
from vse.losses.memory_bank import MemoryBank
from vse.losses.objective import BankScores, Objective, Pairs
from vse.losses.rescaled import Rescaled
from vse.losses.sam import SAM
from vse.losses.soft_margin import SoftMargin
from vse.losses.sum_hinge import SumHinge

__all__ = [
    "ALIASES",
    "HAL",
    "LSEH",
    "LUWM",
    "OBJECTIVES",
    "SAM",
    "BankScores",
    "InfoNCE",
    "LossName",
    "MaxHinge",
    "MemoryBank",
    "Objective",
    "ObjectiveOptions",
    "Pairs",
    "Rescaled",
    "SoftMargin",
    "SumHinge",
    "build_objective",
    "check_combination",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "lseh": LSEH,
    "max_hinge": MaxHinge,
    "sum_hinge": SumHinge,
    "luwm": LUWM,
    "hal": HAL,
    "infonce": InfoNCE,
    "soft_margin": SoftMargin,
    "sam": SAM,
}
ALIASES = {"lmh": "max_hinge", "lsh": "sum_hinge"}
"""Other names of objectives: loss of max of hinges, loss of sum of hinges."""

LossName = Literal["lseh", "lmh", "max_hinge", "lsh", "sum_hinge", "luwm", "hal", "infonce", "soft_margin", "sam"]


@dataclass
class ObjectiveOptions:
    """Which objective, and its constants; a constant that is not given is the published one."""

    loss: LossName = "lseh"
    """Training objective; lmh is max_hinge, lsh is sum_hinge."""
    max_violation: bool = False
    """lseh, sam, soft_margin: each query's hardest negative instead of all (lmh always, luwm by itself)."""
    margin: float | None = None
    """lmh, lsh: hinge margin, 0.2; lseh: base margin, 0.185; sam: base margin, 0.2; luwm: mining margin, 0.2."""
    semantic_weight: float | None = None
    """What similarity in meaning adds to the margin (lseh, 0.025) or takes off it (sam, 0.2)."""
    semantic_normalise: Literal["rowmax", "cosine", "self"] | None = None
    """lseh: what inner products of descriptions are divided by, rowmax as published."""
    semantic_symmetrise: bool = False
    """lseh: average the similarities of both orders of a pair."""
    same_image: Literal["zero_margin", "exclude", "keep"] | None = None
    """lseh: other captions of an image are negatives with zero_margin (published), none (exclude), or any (keep)."""
    same_image_key: Literal["image_ids", "legacy_div5"] | None = None
    """lseh: legacy_div5 takes captions for one image's by id // 5, as published even for one caption an image."""
    positive_coefficients: tuple[float, float, float] | None = None
    """luwm: constant, linear and square coefficient of the positive, 0.5 -0.7 0.2."""
    negative_coefficients: tuple[float, float, float] | None = None
    """luwm: the same of the hardest negative, 0.03 -0.4 0.9."""
    local_alpha: float | None = None
    """hal: scale of the batch's negatives, 30 (MS-COCO; Flickr30K 60)."""
    local_ep: float | None = None
    """hal: threshold of the batch's negatives, 0.3 (MS-COCO; Flickr30K 0.7)."""
    positive_term: Literal["published", "repaired"] | None = None
    """hal: repaired pulls matching pairs that score 0 or less as well."""
    memory_bank: bool = False
    """hal: weight the pairs by a memory bank as well, from the second epoch on."""
    mb_rate: float | None = None
    """hal: share of the training captions in the bank, 0.05."""
    mb_k: int | None = None
    """hal: nearest rows of the bank that count, 250."""
    global_alpha: float | None = None
    """hal: scale of the positives' weights, 40."""
    global_beta: float | None = None
    """hal: scale of the negatives' weights, 40."""
    global_ep_posi: float | None = None
    """hal: threshold of the positives' weights, 0.2 (cancels out)."""
    global_ep_nega: float | None = None
    """hal: threshold of the negatives' weights, 0.1."""
    global_weighting: Literal["published", "repaired"] | None = None
    """hal: repaired mends the weighting by the bank (see HAL/README.md)."""
    temperature: float | None = None
    """infonce: where the learned temperature starts, 0.07."""
    sharpness: float | None = None
    """soft_margin: how closely it follows a hinge, 10."""
    score_scale: float | None = None
    """Show the objective tanh(scores / X): objectives of bounded scores on a network of unbounded ones (gsmn)."""


def build_objective(options: ObjectiveOptions, published: Mapping[str, Mapping[str, Any]] | None = None) -> Objective:
    """The objective of `options.loss`.

    An option reaches the objective whose constructor has a parameter of that name. The user's value wins over the
    network's published constant, that over the constructor's default.

    Args:
        published: the network's constants, objective -> parameter -> value.

    Raises:
        InputError: there is no such objective, or a constant is out of range.
    """
    name = ALIASES.get(options.loss, options.loss)
    if name not in OBJECTIVES:
        raise InputError(f"--loss {options.loss}: expected one of {', '.join([*OBJECTIVES, *ALIASES])}")
    constants = {ALIASES.get(key, key): values for key, values in (published or {}).items()}.get(name, {})
    accepted = signature(OBJECTIVES[name]).parameters
    given = {key: value for key, value in _given(options).items() if key in accepted}
    objective = OBJECTIVES[name](**{**constants, **given})
    return objective if options.score_scale is None else Rescaled(objective, options.score_scale)


def check_combination(objective: Objective, options: ObjectiveOptions, pairwise: bool, bounded_scores: bool) -> None:
    """Refuse an objective that makes no sense on this network, and options that would do nothing.

    Args:
        pairwise: the network scores pairs and has no one embedding per item.
        bounded_scores: its scores are cosines or the like.

    Raises:
        InputError: with the remedy.
    """
    if objective.needs_bounded_scores and not bounded_scores:
        raise InputError(
            f"--loss {options.loss} is made for scores in [-1, 1] and this network's are not bounded: give "
            "--score_scale X (about the scores' spread), or choose lseh, lmh, lsh, sam or soft_margin"
        )
    if options.memory_bank and pairwise:
        raise InputError(
            "--memory_bank remembers one embedding per image and caption and this network scores pairs: leave it out"
        )
    if options.memory_bank and (options.score_scale is not None or not bounded_scores):
        raise InputError("--memory_bank compares by cosines: leave out --score_scale, --no_imgnorm and --measure order")
    given = _given(options)
    for option in given.keys() - {"loss", "score_scale", "max_violation"}:
        losses = [name for name, kind in OBJECTIVES.items() if option in signature(kind).parameters]
        if ALIASES.get(options.loss, options.loss) not in losses:
            raise InputError(
                f"--{option} does nothing for --loss {options.loss}: leave it out, or choose {' or '.join(losses)}"
            )
        if option.startswith(("mb_", "global_")) and not options.memory_bank:
            raise InputError(f"--{option} does nothing without --memory_bank: give both or neither")


def _given(options: ObjectiveOptions) -> dict[str, Any]:
    """The options that say something, by name."""
    values = {field.name: getattr(options, field.name) for field in fields(ObjectiveOptions)}
    return {name: value for name, value in values.items() if value is not None and value is not False}
