"""Save a run, and find what a resumed run has saved."""

from __future__ import annotations

import os
from pathlib import Path

from vse import checkpoints
from vse.checkpoints import Checkpoint, RunState
from vse.console import warn
from vse.distributed import agree, wait_for_all
from vse.errors import InputError
from vse.options import as_dict
from vse.training.runs import random_states
from vse.training.session import Session


def save(session: Session, best: bool = False, at_once: bool = True) -> None:
    """Save the run; every process takes part.

    A best model is never written without its checkpoint: a new run in the folder would not know of it and replace it,
    and one that is resumed with other validations would remember another best.

    Args:
        best: write the best model as well.
        at_once: save even if no checkpoint is due and the model is not the best.
    """
    run, progress, average = session.run, session.progress, session.average
    checkpoint = Checkpoint(
        network=session.folder.name,
        parts=[session.network.state_dict() if average is None else average.model()],
        options=as_dict(session.options),
        vocabulary=session.data.text.to_state(),
        image_shape=list(session.data.image_shape),
        record=session.record.current(),
        progress={name: getattr(progress, name) for name in ("epoch", "position", "step", "validated", "best")},
        run=RunState(
            objective=session.objective.state_dict(),
            optimizer=session.optimizer.state_dict(),
            order=session.order,
            rng=random_states(run),
            average=None if average is None else average.state_dict(),
        ),
    )
    if run.rank == 0:
        session.record.save(run.folder)
        if at_once or best or session.writer.due:
            session.writer.write(run.checkpoint, checkpoint, run.best_model if best else None)


def settle(session: Session) -> None:
    """Bring what a resumed run goes on from to its place: a checkpoint before a damaged one, and the best model."""
    run, progress, resumed = session.run, session.progress, session.resumed
    if resumed is None or resumed.path is None:
        return
    wait_for_all()  # every process has read the checkpoint
    earlier = resumed.path == checkpoints.previous_of(run.checkpoint)
    if run.rank == 0 and earlier and resumed.path.exists():  # not if the folder was moved aside
        resumed.path.replace(os.path.realpath(run.checkpoint))  # else the next save kept the damaged one before it
    if session.best_elsewhere is not None and run.rank == 0:
        checkpoints.save_model(run.best_model, session.best_elsewhere)
    lost = run.rank == 0 and progress.best > float("-inf") and not _is_whole(run.best_model)
    if agree(int(lost)):
        if run.rank == 0:
            warn(f"{run.best_model}: the best model so far is not there or damaged; the best is chosen from here on")
        progress.best, progress.validated = float("-inf"), -1
        session.record.forget_best()


def _is_whole(model: Path) -> bool:
    try:
        checkpoints.load(model)
    except InputError:
        return False
    return True
