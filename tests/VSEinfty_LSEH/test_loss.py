"""VSE-infinity's own defaults of the objectives."""

from __future__ import annotations

from vse.losses import LSEH, MaxHinge, ObjectiveOptions, SumHinge, Warmup, build_objective, resolve
from VSEinfty_LSEH import loss


def test_hardest_negatives_are_the_default_and_in_the_record() -> None:
    options = resolve(ObjectiveOptions(), loss.DEFAULTS)
    objective = build_objective(options)
    assert isinstance(objective, LSEH)
    assert options.max_violation is objective.max_violation is True
    assert (objective.margin, objective.semantic_weight) == (0.185, 0.025)


def test_no_max_violation_sums() -> None:
    assert not build_objective(resolve(ObjectiveOptions(max_violation=False), loss.DEFAULTS)).max_violation


def test_the_demo_begins_with_four_epochs_of_sums() -> None:
    objective = build_objective(resolve(ObjectiveOptions(loss="lmh"), loss.DEMO))
    assert isinstance(objective, Warmup)
    assert (type(objective.objective), type(objective.first), objective.epochs) == (MaxHinge, SumHinge, 4)
