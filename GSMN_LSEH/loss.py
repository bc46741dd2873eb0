"""The objectives' constants in GSMN and its LSEH variant."""

from functools import partial

from vse.losses import build_objective

PUBLISHED = {
    "lseh": {"margin": 0.07, "semantic_weight": 0.05},
    "max_hinge": {"margin": 0.2},
    "sum_hinge": {"margin": 0.2},
}
"""LSEH: Gong & Cosma's code; hinges: Liu et al."""

objective = partial(build_objective, published=PUBLISHED)
"""The objective of `--loss`, with GSMN's constants where no option says otherwise."""
