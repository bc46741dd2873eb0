"""Which objective trains, with which constants: from flags to an objective."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from vse.errors import InputError
from vse.losses.false_negatives import Gist
from vse.losses.hal import BANK
from vse.losses.objective import Objective, SameImage
from vse.losses.table import OBJECTIVES, canonical_name, constants_of, objective_class
from vse.losses.wrappers import Rescaled, Warmup, WarmupForm


@dataclass
class ObjectiveOptions:
    """Which objective, and its constants; one that is not given is the network's own, or else the objective's.

    A flag sets the constant of its name, the field of the objective's class.
    """

    loss: str = "lseh"
    """Training objective: lseh, lmh (max_hinge), sum_hinge, luwm, hal, infonce, soft_margin, sam, selhn, tal, unihn,
    siglip, dcl, hn_nce, soft_labels, neighbor_retr, crcl (docs/objectives.md), or your own as FILE.py:ClassName."""
    max_violation: bool | None = None
    """lseh, sam, soft_margin: each query's hardest negative instead of all."""
    same_image: SameImage | None = None
    """Other captions of an image that meet in a batch: wrong answers (negative), ignored, or right ones (positive);
    lseh also zero_margin. Default: the objective's published rule."""
    false_negatives: Literal["gist"] | None = None
    """gist: drop negatives whose descriptions are too close to the query's."""
    gist_margin: float | None = None
    """gist: drop a negative whose similarity is within this of the positive's, 0.05."""
    gist_ratio: float | None = None
    """gist: drop a negative whose similarity is above this share of the positive's, such as 0.95, instead."""
    warmup_epochs: float | None = None
    """First epochs (fractions too) that sum over all negatives; for objectives of hardest negatives."""
    warmup_form: WarmupForm | None = None
    """sum as in VSE-infinity, the default, or mean: the sum divided by the batch size."""
    margin: float | None = None
    """Margin of lmh, sum_hinge, selhn, tal, unihn, of an unrelated negative (lseh, sam), of the mining (luwm)."""
    semantic_weight: float | None = None
    """What similarity in meaning adds to the margin (lseh) or takes off it (sam)."""
    semantic_normalise: Literal["rowmax", "cosine", "self"] | None = None
    """lseh: what inner products of descriptions are divided by."""
    semantic_symmetrise: bool | None = None
    """lseh: average the similarities of both orders of a pair."""
    same_image_key: Literal["image_ids", "legacy_div5"] | None = None
    """lseh: legacy_div5 takes captions for one image's by id // 5, as the original code does."""
    positive_coefficients: tuple[float, float, float] | None = None
    """luwm: constant, linear and square coefficient of the positive."""
    negative_coefficients: tuple[float, float, float] | None = None
    """luwm: the same of the hardest negative."""
    local_alpha: float | None = None
    """hal: scale of the batch's negatives (Flickr30K: 60)."""
    local_ep: float | None = None
    """hal: threshold of the batch's negatives (Flickr30K: 0.7)."""
    positive_term: Literal["published", "repaired"] | None = None
    """hal: repaired pulls matching pairs that score 0 or less as well."""
    memory_bank: bool | None = None
    """hal: weight the pairs by a memory bank as well, from the second epoch on."""
    mb_rate: float | None = None
    """hal: share of the training captions in the bank (0.05)."""
    mb_k: int | None = None
    """hal: nearest rows of the bank that count (250)."""
    global_alpha: float | None = None
    """hal: scale of the positives' weights (40)."""
    global_beta: float | None = None
    """hal: scale of the negatives' weights (40)."""
    global_ep_posi: float | None = None
    """hal: threshold of the positives' weights (0.2; it cancels out)."""
    global_ep_nega: float | None = None
    """hal: threshold of the negatives' weights (0.1)."""
    global_weighting: Literal["published", "repaired"] | None = None
    """hal: repaired mends the weighting by the bank (docs/differences.md)."""
    temperature: float | None = None
    """infonce, dcl, hn_nce, soft_labels, neighbor_retr: where the learned temperature starts; tal, crcl: fixed."""
    sharpness: float | None = None
    """soft_margin: how closely it follows a hinge; unihn: how much the hardest negative counts."""
    epsilon: float | None = None
    """selhn: distance of positive and hardest negative below which a query averages over its negatives."""
    logit_scale: float | None = None
    """siglip: where the learned scale starts."""
    logit_bias: float | None = None
    """siglip: where the learned bias starts."""
    hardness: float | None = None
    """hn_nce: how much harder negatives weigh more."""
    soft_weight: float | None = None
    """soft_labels: weight of the divergence from the descriptions' distribution."""
    soft_temperature: float | None = None
    """soft_labels: temperature of that distribution."""
    centrality_scale: float | None = None
    """neighbor_retr: how much a central item weighs more."""
    neighbors: int | None = None
    """neighbor_retr: wrong answers that may be right."""
    neighbor_scale: float | None = None
    """neighbor_retr: inverse temperature of its second and third term."""
    plan_weight: float | None = None
    """neighbor_retr: share of the Sinkhorn plan in the targets."""
    plan_temperature: float | None = None
    """neighbor_retr: temperature of the plan."""
    bank_size: int | None = None
    """neighbor_retr: pairs in its bank, the last that were trained on."""
    momentum: float | None = None
    """crcl: share of the old belief in the new one."""
    belief_epochs: int | None = None
    """crcl: first epochs, in which every pair is believed."""
    complementary_weight: float | None = None
    """crcl: weight of the term of the wrong answers."""
    score_scale: float | None = None
    """Show the objective tanh(scores / X): objectives of bounded scores on a network of unbounded ones (gsmn)."""


@dataclass(frozen=True)
class NetworkDefaults:
    """How a network's recipe differs from the objectives' defaults; an entry counts where the objective has it."""

    loss: str = "lseh"
    max_violation: bool = False
    warmup_epochs: float = 0.0
    warmup_form: WarmupForm = "sum"
    constants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of an objective -> name of a constant -> the network's own value."""

    def options(self) -> ObjectiveOptions:
        """Return the options that say nothing but the network's objective: what a command line begins with."""
        return ObjectiveOptions(loss=self.loss)

    def shown(self) -> dict[str, Any]:
        """Return the constants of the network's own objective, for `--help`."""
        return {name: value for name, value in vars(resolve(self.options(), self)).items() if value is not None}


Options = TypeVar("Options", bound=ObjectiveOptions)

_NOT_CONSTANTS = {"loss", "score_scale", "warmup_epochs", "warmup_form", "false_negatives", "gist_margin", "gist_ratio"}


def resolve(options: Options, network: NetworkDefaults = NetworkDefaults()) -> Options:
    """Return the options with every constant of the chosen objective filled in; constants of others stay None.

    The user's value wins over the network's, that over the objective's default. Resolved options say what trains: they
    belong in the help, the run record and the checkpoint, and `build_objective` reads nothing else.

    Raises:
        InputError: there is no such objective, or an option does nothing for it.
    """
    kind = objective_class(options.loss)
    given = {name: value for name, value in vars(options).items() if name in _FLAGS and value is not None}
    _refuse_what_does_nothing(options.loss, kind, given)
    if kind not in OBJECTIVES.values():
        return _with_warmup(options, given, network)
    constants = constants_of(kind)
    values = {name: value for name, value in constants.items() if name not in _NOT_CONSTANTS}
    values["max_violation"] = network.max_violation if "max_violation" in constants else kind.max_violation
    values |= network.constants.get(canonical_name(options.loss), {})
    values |= given
    if not given.get("memory_bank"):
        values = {name: value for name, value in values.items() if not name.startswith(BANK)}
    if "false_negatives" in given:
        gist = _gist(options)
        values |= {"gist_margin": gist.margin, "gist_ratio": gist.ratio}
    return _with_warmup(replace(options, **values), given, network)


def build_objective(options: ObjectiveOptions) -> Objective:
    """Return the objective of resolved options.

    Raises:
        InputError: a constant is out of range, or the objective has no form to warm up with.
    """
    kind = objective_class(options.loss)
    if kind not in OBJECTIVES.values():
        objective = kind()
    else:
        names = constants_of(kind).keys() - _NOT_CONSTANTS
        constants = {name: value for name in names if (value := getattr(options, name)) is not None}
        if options.false_negatives is not None:
            constants["false_negatives"] = _gist(options)
        with flags_named():
            objective = kind(**constants)
    with flags_named():
        if options.score_scale is not None:
            objective = Rescaled(objective, options.score_scale)
        if options.warmup_epochs:
            objective = Warmup(objective, options.warmup_epochs, options.warmup_form or "sum")
    return objective


def check_combination(options: ObjectiveOptions, pairwise: bool, bounded_scores: bool) -> None:
    """Refuse an objective that makes no sense on this network.

    Args:
        options: resolved.
        pairwise: the network scores pairs and has no embedding per item.
        bounded_scores: its scores are cosines or the like.

    Raises:
        InputError: with the remedy.
    """
    objective = build_objective(options)
    if objective.needs_bounded_scores and not bounded_scores:
        free = [name for name, kind in OBJECTIVES.items() if not kind.needs_bounded_scores]
        raise InputError(
            f"--loss {options.loss} is made for scores in [-1, 1] and this network's are not bounded: give "
            f"--score_scale X (about the scores' spread), or choose {', '.join(free[:-1])} or {free[-1]}"
        )
    if objective.needs_embeddings and pairwise:
        raise InputError(f"--loss {options.loss} compares embeddings and this network scores pairs: choose another one")
    if objective.bank is None:
        return
    flag = "--memory_bank" if options.memory_bank else f"--loss {options.loss}"
    if pairwise:
        raise InputError(
            f"{flag} remembers one embedding per image and caption and this network scores pairs: leave it out"
        )
    if options.score_scale is not None or not bounded_scores:
        raise InputError(f"{flag} compares by cosines: leave out --score_scale, --no_imgnorm and --measure order")


def read_saved(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an older `options.json` or checkpoint in today's words, other entries as they are."""
    renamed = {
        "loss": {"lsh": "sum_hinge"},
        "same_image": {"keep": "negative", "exclude": "ignore"},
    }
    return {name: renamed.get(name, {}).get(value, value) for name, value in values.items()}


@contextmanager
def flags_named() -> Iterator[None]:
    """Put the dashes of the flag before an error that begins with a constant's name."""
    try:
        yield
    except InputError as problem:
        raise InputError(f"--{problem}") from None


def _gist(options: ObjectiveOptions) -> Gist:
    with flags_named():
        return Gist(options.gist_margin, options.gist_ratio)


def _with_warmup(options: Options, given: Mapping[str, Any], network: NetworkDefaults) -> Options:
    if "warmup_epochs" not in given:
        possible = network.warmup_epochs > 0 and build_objective(options).sum_form() is not None
        options = replace(options, warmup_epochs=network.warmup_epochs if possible else 0.0)
    if options.warmup_epochs:
        return replace(options, warmup_form=options.warmup_form or network.warmup_form)
    if "warmup_form" in given:
        raise InputError("--warmup_form does nothing without --warmup_epochs: give both or neither")
    return options


def _refuse_what_does_nothing(loss: str, kind: type[Objective], given: Mapping[str, Any]) -> None:
    """Refuse an option that the objective does not have, and one that needs another one beside it."""
    built_in = kind in OBJECTIVES.values()
    for name in sorted(given.keys() - {"loss", "score_scale", "warmup_epochs", "warmup_form"}):
        if not built_in:
            raise InputError(f"--{name} does nothing for your own objective {loss}: set it in your file")
        if name.startswith("gist_") and "false_negatives" not in given:
            raise InputError(f"--{name} does nothing without --false_negatives gist: give both or neither")
        if name.startswith(BANK) and not given.get("memory_bank") and "memory_bank" in constants_of(kind):
            raise InputError(f"--{name} does nothing without --memory_bank: give both or neither")
        if name in constants_of(kind) or name.startswith("gist_"):
            continue
        losses = [other for other, objective in OBJECTIVES.items() if name in constants_of(objective)]
        raise InputError(f"--{name} does nothing for --loss {loss}: leave it out, or choose {' or '.join(losses)}")


_FLAGS = {flag.name for flag in fields(ObjectiveOptions)}
