"""Runs of torchrun's two processes, one or both of which are signalled."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.runs import COMMON, NETWORKS, write_small_set
from vse import checkpoints

LONG = ("--num_epochs", "100000", "--log_step", "1")


def start_torchrun(network: str, data: Path, run: Path, *more: str) -> subprocess.Popen[str]:
    """Start `train.py` in two processes with gloo; `rank_process` finds them."""
    flags = [*COMMON.split(), *NETWORKS[network].split(), "--data_path", str(data), "--logger_name", str(run), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "train.py", *flags],
        cwd=ROOT / network,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ranks_of(agent: subprocess.Popen[str]) -> dict[int, int]:
    """Return rank -> process id of the training processes that torchrun has started."""
    ranks = {}
    for child in children_of(agent.pid):
        with suppress(OSError):
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            ranks.update({int(line[5:]): child for line in variables if line.startswith(b"RANK=")})
    return ranks


def children_of(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def torchrun_signals(folder: Path, count: int, seed: int = 0) -> tuple[int, list[str]]:
    """Signal torchrun's processes in training: one of them, or both 3 to 30 ms apart -> good ends, what went wrong."""
    chance, data = random.Random(seed), write_small_set(folder / "data")
    good, wrong = 0, []
    for number in range(count):
        kind = (signal.SIGTERM, signal.SIGINT)[number // 4 % 2]
        ranks = ([0], [1], [0, 1], [1, 0])[number % 4]
        run = folder / f"run{number}"
        with start_torchrun("VSEpp_LSEH", data, run, *LONG) as agent:
            problem = signalled_ranks(agent, run, kind, ranks, chance)
        good += not problem
        wrong += [f"{kind.name} to {ranks}: {problem}"] if problem else []
    return good, wrong


def signalled_ranks(
    agent: subprocess.Popen[str], run: Path, kind: signal.Signals, ranks: list[int], chance: random.Random
) -> str:
    """Signal some of torchrun's processes in training and judge how they end -> what is wrong, empty if nothing."""
    assert agent.stdout is not None
    for line in agent.stdout:
        if "step 20/" in line:
            break
    processes = ranks_of(agent)
    time.sleep(chance.uniform(0, 0.5))
    for rank in ranks:
        os.kill(processes[rank], kind)
        time.sleep(chance.uniform(0.003, 0.03))
    try:
        printed, errors = agent.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        _end(agent, processes)
        return "hangs for 60 s"
    said = [line for line in (printed + errors).splitlines() if "interrupted" in line or "stopped by" in line]
    codes = re.findall(r"exitcode +: (-?\d+)", errors)
    if codes != [str(128 + kind)] * 2:
        return f"exit statuses {codes}: {errors[-2000:]}"
    if len(said) != 1 or 'train.py", line' in errors:
        return f"it says {said}: {errors[:2000]}"
    step = checkpoints.load(run / "checkpoint.pth.tar").progress["step"]
    return "" if f"after {step} steps, saved" in said[0] else f"{said[0]}, and the checkpoint has step {step}"


def early_signals(folder: Path, count: int, seed: int = 0) -> tuple[int, list[str]]:
    """Signal torchrun's processes between their start and the first step -> good ends, what went wrong."""
    chance, data = random.Random(seed), write_small_set(folder / "data")
    duration = _seconds_to_first_step(folder, data)
    good, wrong = 0, []
    for number in range(count):
        kind = (signal.SIGTERM, signal.SIGINT)[number // 4 % 2]
        ranks = ([0], [1], [0, 1], [1, 0])[number % 4]
        moment = chance.uniform(0, duration)
        with start_torchrun("VSEpp_LSEH", data, folder / f"run{number}", *LONG) as agent:
            processes = _both_ranks(agent)
            time.sleep(moment)
            for rank in ranks:
                with suppress(ProcessLookupError):
                    os.kill(processes[rank], kind)
                time.sleep(chance.uniform(0.003, 0.03))
            problem = _early_end(agent, processes)
        good += not problem
        wrong += [f"{kind.name} to {ranks} after {moment:.2f} of {duration:.2f} s: {problem}"] if problem else []
    return good, wrong


def _both_ranks(agent: subprocess.Popen[str]) -> dict[int, int]:
    until = time.monotonic() + 60
    while len(ranks := ranks_of(agent)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return ranks


def _seconds_to_first_step(folder: Path, data: Path) -> float:
    with start_torchrun("VSEpp_LSEH", data, folder / "whole", *LONG) as agent:
        _both_ranks(agent)
        started = time.monotonic()
        assert agent.stdout is not None
        for line in agent.stdout:
            if "step 1/" in line:
                break
        duration = time.monotonic() - started
        _end(agent, ranks_of(agent))
    return duration


def _end(agent: subprocess.Popen[str], processes: dict[int, int]) -> None:
    os.killpg(agent.pid, signal.SIGKILL)
    for process in processes.values():
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _early_end(agent: subprocess.Popen[str], processes: dict[int, int]) -> str:
    """Judge how processes end that were signalled before the first step -> what is wrong, empty if nothing."""
    try:
        printed, errors = agent.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        _end(agent, processes)
        return "hangs for 60 s"
    codes = {int(code) for code in re.findall(r"exitcode +: (-?\d+)", errors)}
    if not codes or codes - {2, 130, 143, -signal.SIGINT, -signal.SIGTERM}:
        return f"exit statuses {sorted(codes)}: {errors[-2000:]}"
    said = [line for line in (printed + errors).splitlines() if re.match("interrupted|stopped by|error: ", line)]
    traced = 'train.py", line' in errors and "KeyboardInterrupt" not in errors
    return f"it says {said}: {errors[:2000]}" if len(said) > 2 or traced else ""
