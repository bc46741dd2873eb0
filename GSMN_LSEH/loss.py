"""The objectives' constants in GSMN and its LSEH variant."""

from __future__ import annotations

from vse.losses import Objective, ObjectiveOptions, build_objective

PUBLISHED = {
    "lseh": {"margin": 0.07, "semantic_weight": 0.05},
    "max_hinge": {"margin": 0.2},
    "sum_hinge": {"margin": 0.2},
}
"""LSEH: Gong & Cosma's code; hinges: Liu et al."""


def objective(options: ObjectiveOptions) -> Objective:
    """The objective of `--loss`, with GSMN's constants where no option says otherwise."""
    return build_objective(options, PUBLISHED)
