"""Which objective trains, with which constants: from flags to an objective."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

from vse.errors import InputError
from vse.losses.false_negatives import Gist
from vse.losses.hal import BANK
from vse.losses.objective import Objective
from vse.losses.table import OBJECTIVES, canonical_name, constants_of, objective_class
from vse.losses.wrappers import Rescaled, Warmup
from vse.options import NetworkDefaults, ObjectiveOptions

Options = TypeVar("Options", bound=ObjectiveOptions)

_NOT_CONSTANTS = {"loss", "score_scale", "warmup_epochs", "warmup_form", "false_negatives", "gist_margin", "gist_ratio"}


LIBRARY = NetworkDefaults()
"""A network whose recipe is the objectives' defaults."""


def resolve(options: Options, network: NetworkDefaults = LIBRARY) -> Options:
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
        "schedule": {"milestones": "step"},
    }
    return {
        name: renamed[name].get(value, value) if name in renamed and isinstance(value, str) else value
        for name, value in values.items()
    }


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
