"""Warnings about failing training runs."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.console import warn
from vse.losses.objective import Objective, Pairs
from vse.losses.wrappers import Warmup, Wrapper
from vse.training.step import StepResult

ALIKE = 0.1
"""Share of what a negative that scores like its positive costs in sums over all negatives, a hinge its margin; hardest
negatives that are nearer than this to their positives score alike."""


class CollapseGuard:
    """Warn once, in one sentence, about a plateau, a collapse, or a problem that the objective diagnoses."""

    def __init__(self) -> None:
        self.alike = 0
        self.plateau_since: int | None = None
        self.told: set[str] = set()

    def look(self, result: StepResult, objective: Objective, pairs: Pairs, step: int, steps_per_epoch: int) -> None:
        """Look at the result of a step.

        A run stands on its plateau if for half an epoch the hardest negatives of the batches score what the positives
        score.

        Args:
            pairs: of the batch of this process.
            step: number of the step.
        """
        scores = result.scores
        flat = len(scores) > 1 and bool(scores.std() < 1e-3 * scores.abs().max().clamp(min=1e-3))
        self.alike = self.alike + 1 if flat else 0
        if self.alike == 3:
            remedy = "--warmup_epochs 1" if can_warm_up(objective) else "another --loss"
            self._tell(
                "collapse",
                f"collapse: all pairs score {scores.mean():.3f} and the loss stands at {result.loss:.2f}; the hardest "
                f"negatives pushed everything together: lower --learning_rate, or give {remedy}",
            )
        self._look_for_a_plateau(result, objective, pairs, step, steps_per_epoch)
        sentence = objective.diagnose(scores)
        if sentence is not None:
            self._tell(sentence, sentence)

    def _look_for_a_plateau(
        self, result: StepResult, objective: Objective, pairs: Pairs, step: int, steps_per_epoch: int
    ) -> None:
        warmup, scores = warmup_of(objective), result.scores
        summed = objective.sum_form() if warmup is None else warmup.first
        if summed is None or len(scores) < 2 or (warmup is not None and warmup.warming):
            self.plateau_since = None
            return
        mean = float(scores.mean())
        if hardest_gap(scores) >= ALIKE * cost_of_a_negative(summed, pairs, mean):
            self.plateau_since = None
            return
        self.plateau_since = step if self.plateau_since is None else self.plateau_since
        if step - self.plateau_since >= steps_per_epoch / 2:
            stands = float(result.image_to_text + result.text_to_image)
            stands = stands if objective.averaged else stands / len(scores)
            self._tell(
                "plateau",
                f"plateau: since step {self.plateau_since} the loss stands at {stands:.3f} per pair, close to the "
                f"{loss_at_equal_scores(objective, pairs, mean):.3f} of equal scores; begin with sums over all "
                f"negatives: --warmup_epochs {2 if warmup else 1} or more",
            )

    def _tell(self, kind: str, sentence: str) -> None:
        if kind not in self.told:
            self.told.add(kind)
            warn(sentence)


def warmup_of(objective: Objective) -> Warmup | None:
    """Return the warm-up that an objective is wrapped in, if there is one."""
    while isinstance(objective, Wrapper) and not isinstance(objective, Warmup):
        objective = objective.objective
    return objective if isinstance(objective, Warmup) else None


def can_warm_up(objective: Objective) -> bool:
    """Return whether an objective of hardest negatives has a form over all negatives to begin with."""
    warmup = warmup_of(objective)
    return warmup is not None or objective.sum_form() is not None


def loss_at_equal_scores(objective: Objective, pairs: Pairs, score: float) -> float:
    """Return the loss a pair if all pairs of a batch have this score."""
    count = len(pairs.image_ids)
    with torch.no_grad():
        scores = torch.full((count, count), score, device=pairs.image_ids.device)
        both = sum(objective.directions(scores, pairs))
    return float(both) if objective.averaged else float(both) / count


def cost_of_a_negative(summed: Objective, pairs: Pairs, score: float) -> float:
    """Return what a negative costs on average in a sum over all negatives if all pairs have this score."""
    return loss_at_equal_scores(summed, pairs, score) / 2 / (len(pairs.image_ids) - 1)


def hardest_gap(scores: Tensor) -> float:
    """Return the mean distance between positives and hardest negatives of a batch [B, B], in both directions."""
    positives = scores.diagonal()
    negatives = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -torch.inf)
    gaps = [(negatives.amax(dim=dim) - positives).abs().mean() for dim in (0, 1)]
    return float(sum(gaps) / 2)
