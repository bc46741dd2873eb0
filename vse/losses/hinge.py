"""The triplet hinge that the hinge objectives share; they differ in their margins and in which negatives count."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.losses.objective import Roles
from vse.losses.queries import per_positive


def hinges(scores: Tensor, margins: Tensor | float, roles: Roles, hardest: bool) -> tuple[Tensor, Tensor]:
    """Return the sums over the batch of max(0, margin + negative - positive), by rows and by columns.

    Sums, not means: the published learning rates count on it. Of tied hardest negatives the first gets the gradient
    (`max`; `amax` would share it out), and a hinge at exactly 0 has none.

    Args:
        scores: [B, B].
        margins: [B, B] without gradient, or one number.
        hardest: only each query's largest violation counts, as in VSE++, instead of all of them.
    """
    violations = (scores + margins).masked_fill(~roles.negatives, -torch.inf)
    if not roles.one_positive:
        return (
            per_positive(scores, violations, roles, lambda p, v: _costs(p, v, hardest)).sum(),
            per_positive(scores.T, violations.T, roles, lambda p, v: _costs(p, v, hardest)).sum(),
        )
    positives = scores.diagonal()
    if hardest:
        image_to_text = violations.max(dim=1).values - positives
        text_to_image = violations.max(dim=0).values - positives
    else:
        image_to_text = violations - positives[:, None]
        text_to_image = violations - positives[None, :]
    return image_to_text.relu().sum(), text_to_image.relu().sum()


def _costs(positives: Tensor, violations: Tensor, hardest: bool) -> Tensor:
    """Positives [Q] against their rows of violations [Q, B] -> costs [Q]."""
    if hardest:
        return (violations.max(dim=1).values - positives).relu()
    return (violations - positives[:, None]).relu().sum(dim=1)
