"""Two processes under torchrun, one of which is signalled, stopped or killed: nothing hangs, one sentence, saved."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.ranks import LONG, ranks_of, signalled_ranks, start_torchrun
from tests.faults.runs import write_small_set

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback, /proc")


def test_a_signal_to_one_process_saves_and_ends_both(tmp_path: Path) -> None:
    with start_torchrun("VSEpp_LSEH", write_small_set(tmp_path / "data"), tmp_path / "run", *LONG) as agent:
        problem = signalled_ranks(agent, tmp_path / "run", signal.SIGTERM, [1], random.Random(0))
    assert problem == ""


def test_a_mistake_under_torchrun_is_one_sentence(tmp_path: Path) -> None:
    data = write_small_set(tmp_path / "data")
    with start_torchrun("VSEpp_LSEH", data, tmp_path / "run", "--batch_size", "5000") as agent:
        errors = agent.communicate(timeout=100)[1]
    assert errors.count("error: --batch_size 5000") == 1
    assert 'train.py", line' not in errors


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.campaign
def test_a_lost_process_ends_the_run_in_a_minute(tmp_path: Path, number: signal.Signals) -> None:
    with start_torchrun("VSEpp_LSEH", write_small_set(tmp_path / "data"), tmp_path / "run", *LONG) as agent:
        assert agent.stdout is not None
        for line in agent.stdout:
            if "step 20/" in line:
                break
        os.kill(ranks_of(agent)[1], number)
        errors = agent.communicate(timeout=60)[1]
    said = [line for line in errors.splitlines() if line.startswith(("error: ", "stopped by "))]
    assert len(said) == 1
    assert 'train.py", line' not in errors
