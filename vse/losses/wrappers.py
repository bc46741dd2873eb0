"""Objectives that wrap another one: rescale scores, warm up, or let gradients grow from 0."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs
from vse.options import WarmupForm


class Wrapper(Objective):
    """Base of the objectives that delegate to another one and have its needs."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        self.needs_descriptions = objective.needs_descriptions
        self.needs_embeddings = objective.needs_embeddings
        self.needs_bounded_scores = objective.needs_bounded_scores
        self.sparse_gradient = objective.sparse_gradient
        self.averaged = objective.averaged
        self.max_violation = objective.max_violation
        self.bank = objective.bank

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the directions of the objective inside."""
        return self.objective.directions(scores, pairs)

    def start(self, captions: int) -> None:
        """Pass on how many training captions there are."""
        self.objective.start(captions)

    def begin(self, epoch: int, position: int, steps_per_epoch: int) -> None:
        """Pass on where training stands."""
        self.objective.begin(epoch, position, steps_per_epoch)

    def diagnose(self, scores: Tensor) -> str | None:
        """Return what the objective inside finds wrong."""
        return self.objective.diagnose(scores)


class Rescaled(Wrapper):
    """Show an objective tanh(scores / score_scale), in (-1, 1), instead of the scores.

    tanh keeps the order of scores, so that evaluation ranks the network's own scores as they are. Choose the scale
    about as large as the scores' spread: tanh is flat, and gradients vanish, far beyond it.

    Raises:
        InputError: `score_scale` is not above 0.
    """

    def __init__(self, objective: Objective, score_scale: float) -> None:
        super().__init__(objective)
        if score_scale <= 0:
            raise InputError(f"score_scale {score_scale}: expected a number above 0, about the scores' spread")
        self.score_scale = score_scale
        self.needs_bounded_scores = False

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the directions of the rescaled scores."""
        return self.objective.directions(torch.tanh(scores / self.score_scale), pairs)

    def diagnose(self, scores: Tensor) -> str | None:
        """Return what is wrong with the rescaled scores."""
        return self.objective.diagnose(torch.tanh(scores / self.score_scale))

    def sum_form(self) -> Objective | None:
        """Return the rescaled sum form; None if there is none."""
        summed = self.objective.sum_form()
        return None if summed is None else Rescaled(summed, self.score_scale)

    def __repr__(self) -> str:
        """Return the objective inside and the scale."""
        return f"{self.objective!r} of tanh(scores / {self.score_scale:g})"


class Warmup(Wrapper):
    """Minimise an objective's form over all negatives in the first epochs, the objective itself after them.

    Hardest negatives from a cold start can hold training on a plateau where all scores are equal; sums over all
    negatives leave it. `sum`: VSE-infinity (Chen et al., CVPR 2021). `mean`: the sum divided by B, as in LAPS (Fu et
    al., CVPR 2024).

    Args:
        objective: what training is about.
        epochs: length of the warm-up; fractions are allowed.
        form: of the first epochs.

    Raises:
        InputError: the objective has no such form, or the length is not above 0.
    """

    def __init__(self, objective: Objective, epochs: float, form: WarmupForm = "sum") -> None:
        super().__init__(objective)
        first = objective.sum_form()
        if first is None:
            raise InputError(
                f"warmup_epochs {epochs:g}: {objective!r} has no sum over all negatives to begin with; leave it out"
            )
        if not epochs > 0:
            raise InputError(f"warmup_epochs {epochs:g}: expected a number above 0, such as 1 or 0.5")
        self.first, self.epochs, self.form = first, epochs, form
        self.begin(0, 0, 1)

    def begin(self, epoch: int, position: int, steps_per_epoch: int) -> None:
        """Choose what this step minimises."""
        self.warming = epoch + position / steps_per_epoch < self.epochs
        now = self.first if self.warming else self.objective
        self.sparse_gradient = now.sparse_gradient
        self.averaged = now.averaged or (self.warming and self.form == "mean")
        now.begin(epoch, position, steps_per_epoch)

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the directions of the form that this step minimises."""
        if not self.warming:
            return self.objective.directions(scores, pairs)
        image_to_text, text_to_image = self.first.directions(scores, pairs)
        if self.form == "mean":
            return image_to_text / len(scores), text_to_image / len(scores)
        return image_to_text, text_to_image

    def __repr__(self) -> str:
        """Return the objective inside and its warm-up."""
        return f"{self.objective!r} after {self.epochs:g} epochs of the {self.form} of {self.first!r}"


class GrowingGradient(Wrapper):
    """Let the gradient of an objective grow linearly from 0 during one epoch, without changing its values.

    The warm-up of a CNN that was just unfrozen in VSE-infinity's original code, which scales the loss.

    Args:
        epoch: the epoch in which the gradient grows; its first step has none.
    """

    def __init__(self, objective: Objective, epoch: int) -> None:
        super().__init__(objective)
        self.epoch, self.share = epoch, 1.0

    def begin(self, epoch: int, position: int, steps_per_epoch: int) -> None:
        """Choose this step's share of the gradient."""
        self.share = position / steps_per_epoch if epoch == self.epoch else 1.0
        super().begin(epoch, position, steps_per_epoch)
        self.sparse_gradient = self.objective.sparse_gradient

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the directions, whose gradient is scaled."""
        share = self.share
        if share != 1.0 and scores.requires_grad:
            scores.register_hook(lambda gradient: gradient * share)
        return self.objective.directions(scores, pairs)

    def __repr__(self) -> str:
        """Return the objective inside and the epoch."""
        return f"{self.objective!r}, gradients growing in epoch {self.epoch}"
