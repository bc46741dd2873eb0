"""The objectives' constants in VSRN and its LSEH variant."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vse.errors import InputError
from vse.losses import Objective, ObjectiveOptions, build_objective

PUBLISHED = {
    "lseh": {"margin": 0.185, "semantic_weight": 0.025},
    "max_hinge": {"margin": 0.2},
    "sum_hinge": {"margin": 0.2},
}
"""LSEH: Gong & Cosma's code; hinges: Li et al."""


@dataclass
class LossOptions(ObjectiveOptions):
    """The objective's options, with the two names that VSRN's LSEH variant gives them."""

    a: float | None = None
    """lseh: margin of an unrelated negative, 0.185; wins over --margin."""
    b: float | None = None
    """lseh: what similarity in meaning adds to it, 0.025; wins over --semantic_weight."""


def objective(options: LossOptions) -> Objective:
    """The objective of `--loss`, with VSRN's constants where no option says otherwise.

    Raises:
        InputError: a constant that the objective does not have.
    """
    if options.loss != "lseh" and (options.a, options.b) != (None, None):
        raise InputError(f"--a and --b are constants of lseh and do nothing for --loss {options.loss}: leave them out")
    margin = options.margin if options.a is None else options.a
    weight = options.semantic_weight if options.b is None else options.b
    return build_objective(replace(options, margin=margin, semantic_weight=weight), PUBLISHED)
