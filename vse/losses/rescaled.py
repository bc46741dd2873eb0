"""Objectives of bounded scores on networks whose scores are not."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs


class Rescaled(Objective):
    """Shows an objective tanh(scores / score_scale), in (-1, 1), instead of the scores.

    tanh keeps the order of scores, so that evaluation ranks the network's own scores as they are. Choose the scale
    about as large as the scores' spread: tanh is flat, and gradients vanish, far beyond it.
    """

    def __init__(self, objective: Objective, score_scale: float) -> None:
        super().__init__()
        if score_scale <= 0:
            raise InputError(f"--score_scale {score_scale}: expected a number above 0, about the scores' spread")
        self.objective = objective
        self.score_scale = score_scale
        self.needs_descriptions = objective.needs_descriptions
        self.sparse_gradient = objective.sparse_gradient

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return self.objective.directions(torch.tanh(scores / self.score_scale), pairs)

    def diagnose(self, scores: Tensor) -> str | None:
        return self.objective.diagnose(torch.tanh(scores / self.score_scale))
