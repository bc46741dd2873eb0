"""Warnings of a training that has gone wrong."""

from __future__ import annotations

from vse.console import warn
from vse.losses.objective import Objective
from vse.training.step import StepResult


class CollapseGuard:
    """Warn once, in one sentence, that all pairs score alike, or of what the objective finds wrong."""

    def __init__(self) -> None:
        self.alike = 0
        self.told: set[str] = set()

    def look(self, result: StepResult, objective: Objective) -> None:
        """Look at the result of a step."""
        scores = result.scores
        flat = len(scores) > 1 and bool(scores.std() < 1e-3 * scores.abs().max().clamp(min=1e-3))
        self.alike = self.alike + 1 if flat else 0
        if self.alike == 3:
            self._tell(
                f"collapse: all pairs score {scores.mean():.3f} and the loss stands at {result.loss:.2f}; the hardest "
                "negatives pushed everything together: lower --learning_rate, or train with --loss sum_hinge first and "
                "begin with that model (--init_model)"
            )
        sentence = objective.diagnose(scores)
        if sentence is not None:
            self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        if sentence not in self.told:
            self.told.add(sentence)
            warn(sentence)
