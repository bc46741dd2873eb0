"""Attacks on files and command lines, counted: `python -m tests.faults.campaign` prints the table of docs/trust.md.

Each attack returns a `Row`; its size is an argument, so that the suite runs a small one and the campaign all of it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from tests.faults import hostile, runs, senseless
from vse import checkpoints
from vse.checkpoints import Checkpoint, RunState
from vse.errors import InputError
from vse.files import writable_folder
from vse.pickles import ORDERED, Refused, SafeUnpickler
from vse.published.checkpoints import load

MEGABYTE = 2**20
SECONDS = 10.0
"""Longest time that refusing a file may take."""


@dataclass
class Row:
    """What came of an attack."""

    attack: str
    tried: int = 0
    refused: int = 0
    harmless: int = 0
    """Taken, with the content that it should have."""
    wrong: list[str] = field(default_factory=list)
    """What must not happen: other content taken, a traceback, too much time or memory, code run."""
    note: str = ""


def sound() -> Checkpoint:
    """Return a checkpoint with every kind of entry."""
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.arange(12.0).reshape(2, 6)).sum().backward()
    optimizer.step()
    return Checkpoint(
        network="VSEpp",
        parts=[dict(network.state_dict())],
        options={"seed": 0, "learning_rate": 0.002, "resume": None, "data_name": "f30k"},
        vocabulary={"words": [f"word{number}" for number in range(50)], "tokeniser": "punkt"},
        image_shape=[4, 6],
        progress={"epoch": 1, "position": 0, "step": 30, "validated": 30, "best": 61.5},
        run=RunState({}, optimizer.state_dict(), {"seed": 0, "pairs": 120}, [{"cpu": torch.get_rng_state()}]),
    )


def damaged(whole: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield copies of a file with one to four bytes changed, or its end cut off, or a part zeroed or doubled."""
    chance = random.Random(seed)
    for number in range(count):
        content = bytearray(whole)
        kind = number % 5
        place = chance.randrange(len(content))
        if kind < 2:
            for _ in range(chance.choice((1, 1, 4))):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del content[place:]
        elif kind == 3:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        else:
            content[place:place] = content[place : place + 64]
        yield bytes(content)


def flips(count: int) -> Row:
    """Damage a checkpoint: what is taken must be what was saved."""
    row = Row("damaged checkpoints (bits, cuts, zeros, doubled parts)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth.tar"
        checkpoints.save(path, sound())
        whole, expected = path.read_bytes(), _digest(load(path))
        for content in damaged(whole, count):
            path.write_bytes(content)
            row.tried += 1
            try:
                taken = load(path)
            except InputError:
                row.refused += 1
            except BaseException as problem:
                row.wrong.append(f"traceback: {problem!r}")
            else:
                row.harmless += 1
                if _digest(taken) != expected:
                    row.wrong.append("other content taken")
    return row


def _digest(checkpoint: Checkpoint) -> str:
    return checkpoints.digest(checkpoints._to_content(checkpoint))


def hostile_files(every: int = 1) -> Row:
    """Read files that somebody made to do harm, or one in `every`, each in a process of its own."""
    row = Row("hostile checkpoints")
    longest = largest = 0.0
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, path in itertools.islice(hostile.files(Path(folder)), 0, None, every):
                row.tried += 1
                outcome, seconds, memory = _in_child(lambda path=path: load(path))  # type: ignore[misc]
                longest, largest = max(longest, seconds), max(largest, memory)
                row.refused += outcome == "refused"
                if outcome != "refused":
                    row.wrong.append(f"{name}: {outcome}")
                if seconds > SECONDS or memory > 2 * path.stat().st_size + 500 * MEGABYTE:
                    row.wrong.append(f"{name}: {seconds:.1f} s, {memory / MEGABYTE:.0f} MB")
                if Path(hostile.MARK).exists():
                    row.wrong.append(f"{name}: its code ran")
        finally:
            os.chdir(before)
    row.note = f"at most {longest:.1f} s and {largest / MEGABYTE:.0f} MB"
    return row


def _in_child(work: Callable[[], object]) -> tuple[str, float, float]:
    """Run in a forked process -> (refused, taken, or an exception; seconds; bytes of memory beyond today's)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        started = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            work()
            outcome = "taken"
        except InputError:
            outcome = "refused"
        except BaseException as problem:
            outcome = f"traceback: {problem!r}"
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        os.write(writing, f"{time.monotonic() - started}\n{memory}\n{outcome}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    seconds, memory, outcome = (answer or "inf\n0\nkilled").split("\n", 2)
    return outcome, float(seconds), float(memory)


def fuzzed_pickles(count: int) -> Row:
    """Damage pickles of both kinds: refused, or plain values and stand-ins, soon."""
    row = Row("damaged pickles")
    values = {"words": [f"word{number}" for number in range(20)], "ids": {"a": 1}, "state": OrderedDict(a=(1.5, None))}
    wholes = [pickle.dumps(values, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    longest = 0.0
    for whole in wholes:
        for content in damaged(whole, count // len(wholes)):
            row.tried += 1
            started = time.monotonic()
            try:
                SafeUnpickler(io.BytesIO(content), ORDERED).load()
                row.harmless += 1
            except Refused:
                row.refused += 1
            except BaseException as problem:
                row.wrong.append(f"traceback: {problem!r}")
            longest = max(longest, time.monotonic() - started)
    row.note = f"at most {longest:.2f} s"
    if longest > 5:
        row.wrong.append(f"{longest:.1f} s")
    return row


CALLS = ("os.fsync", "os.link", "os.open", "pathlib.Path.open", "pathlib.Path.replace", "pathlib.Path.unlink")
"""Calls that saving makes besides writing."""


def failing_saves(points: int) -> Row:
    """Let saving fail, as on a full or a broken disk, after each number of bytes and at each call.

    A checkpoint and a model must stay that are not older than what the checkpoint remembers.
    """
    row = Row("full disk and input/output errors while saving")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoints.save(folder / "size", sound())
        size = (folder / "size").stat().st_size
        (folder / "size").unlink()
        limits = [limited_files(size * point // (points // 2)) for point in range(points // 2)]
        calls = [failing(call, number, code) for number in range(9) for call in CALLS for code in DISK_ERRORS]
        for attack in [*limits, *calls[: points - len(limits)]]:
            row.tried += 1
            outcome = _save_under(attack, folder)
            row.refused += outcome == "refused"
            row.harmless += outcome == "saved"
            if outcome not in ("refused", "saved"):
                row.wrong.append(outcome)
    return row


DISK_ERRORS = (errno.ENOSPC, errno.EIO)


def _save_under(attack: contextlib.AbstractContextManager[None], folder: Path) -> str:
    path, best = folder / "checkpoint.pth.tar", folder / "model_best.pth.tar"
    for step in (1, 2):
        checkpoints.save(path, _at(step), best)
    try:
        with attack:
            checkpoints.save(path, _at(3), best)
        outcome = "saved"
    except InputError:
        outcome = "refused"
    except BaseException as problem:
        return f"traceback: {problem!r}"
    newest = checkpoints.load_newest(path).progress["step"]
    if newest not in (2, 3) or checkpoints.load(best).progress["step"] < newest:
        return f"only step {newest} stays"
    writable_folder(folder, "--logger_name")  # the next start
    leftovers = [file.name for file in folder.glob(".*")]
    return f"{leftovers[0]} stays" if leftovers else outcome


def _at(step: int) -> Checkpoint:
    whole = sound()
    return replace(whole, progress={**whole.progress, "step": step})


@contextlib.contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: the system refuses the write that would, as it does on a full disk."""
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


@contextlib.contextmanager
def failing(call: str, number: int, code: int) -> Iterator[None]:
    """Let a function fail once, at its `number`-th use from 0."""
    place, _, name = call.rpartition(".")
    owner: Any = Path if place == "pathlib.Path" else os
    real, uses = getattr(owner, name), itertools.count()

    def failing_call(*arguments: Any, **options: Any) -> Any:
        if next(uses) == number:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    setattr(owner, name, failing_call)
    try:
        yield
    finally:
        setattr(owner, name, real)


def senseless_options(scripts: Sequence[str], values: Sequence[str] = senseless.VALUES) -> Row:
    """Give the numeric options of scripts values that make no sense: the parser refuses them by name, or takes them."""
    row = Row("senseless numbers, refused before anything is imported or made")
    for script in scripts:
        for flag, ranges, count in senseless.numbers(senseless.options_of(script)):
            if not ranges:
                row.wrong.append(f"{script} --{flag} states no range")
            for value in values:
                row.tried += 1
                outcome = senseless.outcome(script, flag, value, count)
                row.refused += outcome == "refused"
                row.harmless += outcome == "taken"
                if outcome not in ("refused", "taken"):
                    row.wrong.append(f"{script} --{flag} {value}: {outcome}")
    return row


def senseless_runs(networks: Sequence[str], most: int) -> Row:
    """Train with the extreme numbers that the parser takes: to the end, or to one sentence."""
    row = Row("training with extreme numbers that the parser takes")
    seen: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = runs.write_small_set(folder / "data")
        for network in networks:
            trainer = runs.Trainer(network, data)
            script = f"{network}.train"
            for flag, _, count in senseless.numbers(senseless.options_of(script)):
                taken = [v for v in senseless.VALUES if senseless.outcome(script, flag, v, count) == "taken"]
                for value in [] if flag in seen else taken:
                    if row.tried == most:
                        return row
                    row.tried += 1
                    status, errors = trainer.finish(folder / f"run{row.tried}", f"--{flag}", *[value] * count)
                    row.refused += status == 2
                    row.harmless += status == 0
                    if status not in (0, 2) or "Traceback" in errors or (status == 2 and "error: " not in errors):
                        row.wrong.append(f"{network} --{flag} {value}: exit {status} {errors[-200:]}")
                seen.add(flag)
    return row


def killed_runs(networks: Sequence[str], count: int, during_writes: int) -> Row:
    """Kill runs of each network, some of the times during writes, and resume them: equal bits in the end."""
    row = Row(f"runs killed (SIGKILL) and resumed, {during_writes} of {count} kills of each network during writes")
    for network in networks:
        with tempfile.TemporaryDirectory() as name:
            done, wrong = runs.kills(network, Path(name), count, during_writes)
        row.tried += done
        row.harmless += done
        row.wrong += wrong
    row.note = f"{len(networks)} networks: equal weights, optimizer and random states"
    return row


def signalled_runs(count: int) -> Row:
    """Send SIGINT and SIGTERM at any time between the first and the last line of a script."""
    row = Row("signals (SIGINT, SIGTERM) from start to end of a script")
    with tempfile.TemporaryDirectory() as name:
        outcomes, row.wrong = runs.signals(Path(name), count)
    row.tried = count
    row.harmless = count - len(row.wrong)
    row.note = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    return row


def torchrun_runs(count: int) -> Row:
    """Signal one or both of torchrun's two processes: both save, and exit with the signal's status within 60 s."""
    row = Row("signals to one or both of torchrun's two processes")
    with tempfile.TemporaryDirectory() as name:
        row.harmless, row.wrong = runs.torchrun_signals(Path(name), count)
    row.tried = count
    row.note = "both exit with 130 or 143, one sentence, saved"
    return row


def table(rows: list[Row]) -> str:
    """Return a Markdown table of counts, and below it what went wrong."""
    cells = [[row.attack, row.tried, row.refused, row.harmless, len(row.wrong), row.note] for row in rows]
    headers = ["attack", "tried", "refused with one sentence", "harmless", "wrong", ""]
    wrong = [f"- {row.attack}: {problem}" for row in rows for problem in row.wrong[:10]]
    return "\n".join([tabulate(cells, headers, tablefmt="github"), *wrong])


ATTACKS: dict[str, Callable[[], Row]] = {
    "flips": lambda: flips(1000),
    "hostile": hostile_files,
    "pickles": lambda: fuzzed_pickles(100_000),
    "saves": lambda: failing_saves(100),
    "options": lambda: senseless_options(senseless.SCRIPTS),
    "extremes": lambda: senseless_runs(list(runs.NETWORKS), 250),
    "kills": lambda: killed_runs(list(runs.NETWORKS), 34, 9),
    "signals": lambda: signalled_runs(100),
    "torchrun": lambda: torchrun_runs(20),
}
"""What `python -m tests.faults.campaign [NAME ...]` runs, in full."""


def main() -> None:
    """Run the attacks that the command line names, or all, and print the table."""
    torch.set_num_threads(1)
    rows = []
    for name in sys.argv[1:] or ATTACKS:
        rows.append(ATTACKS[name]())
        print(table(rows[-1:]), file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
