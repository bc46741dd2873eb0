"""The objectives' constants in VSE++ and its LSEH variant."""

from functools import partial

from vse.losses import build_objective

PUBLISHED = {
    "lseh": {"margin": 0.185, "semantic_weight": 0.025},
    "max_hinge": {"margin": 0.2},
    "sum_hinge": {"margin": 0.2},
}
"""LSEH: Gong & Cosma's code; hinges: Faghri et al."""

objective = partial(build_objective, published=PUBLISHED)
"""The objective of `--loss`, with VSE++'s constants where no option says otherwise."""
