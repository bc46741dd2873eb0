"""The objectives' constants in VSE-infinity and its LSEH variant, and how an objective changes as training goes on."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

from torch import Tensor

from vse.errors import InputError
from vse.losses import ALIASES, OBJECTIVES, Objective, ObjectiveOptions, Pairs, build_objective

PUBLISHED = {
    "lseh": {"margin": 0.185, "semantic_weight": 0.025},
    "max_hinge": {"margin": 0.2},
    "sum_hinge": {"margin": 0.2},
}
"""LSEH: Gong & Cosma's code; hinges: Chen et al."""


class Scheduled(Objective):
    """One objective in the first epochs, another one after them; in one epoch gradients that grow from nothing.

    Args:
        objective: what training is about.
        first: what its first epochs minimise instead.
        first_epochs: how many they are.
        growing: (epoch, steps): in that epoch the gradient of the scores grows linearly over so many steps, the first
            of which has none: the published warm-up of a CNN that was just unfrozen, a scaled loss.
    """

    def __init__(self, objective: Objective, first: Objective | None = None, first_epochs: int = 0) -> None:
        super().__init__()
        self.objective, self.first, self.first_epochs = objective, first, first_epochs
        self.needs_descriptions = objective.needs_descriptions
        self.needs_bounded_scores = objective.needs_bounded_scores
        self.bank = objective.bank
        self.growing: tuple[int, int] | None = None
        self.epoch = self.position = 0

    def begin(self, epoch: int, position: int) -> None:
        """The next batch is the one at `position` of `epoch`."""
        self.epoch, self.position = epoch, position

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        if self.growing is not None and self.epoch == self.growing[0] and scores.requires_grad:
            share = self.position / self.growing[1]
            self.position += 1
            scores.register_hook(lambda gradient: gradient * share)
        now = self.first if self.first is not None and self.epoch < self.first_epochs else self.objective
        return now.directions(scores, pairs)

    def diagnose(self, scores: Tensor) -> str | None:
        return self.objective.diagnose(scores)


def objective(options: ObjectiveOptions, sum_epochs: int = 0) -> Scheduled:
    """The objective of `--loss`, with the published constants where no option says otherwise.

    Objectives that can do either take each query's hardest negative (published: from the first epoch on) after
    `sum_epochs` epochs of summing over all negatives; with `--max_violation` there are no such epochs.

    Raises:
        InputError: `sum_epochs` for an objective that has no such sum.
    """
    name = ALIASES.get(options.loss, options.loss)
    hardest = build_objective(replace(options, max_violation=True), PUBLISHED)
    if not sum_epochs or options.max_violation:
        return Scheduled(hardest)
    if name != "max_hinge" and "max_violation" not in signature(OBJECTIVES[name]).parameters:
        raise InputError(
            f"--vse_mean_warmup_epochs {sum_epochs}: --loss {options.loss} has no sum over all negatives to begin "
            "with; leave the flag out, or choose lseh, lmh, sam or soft_margin"
        )
    summed = replace(options, loss="sum_hinge") if name == "max_hinge" else options
    return Scheduled(hardest, build_objective(summed, PUBLISHED), sum_epochs)
