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
import resource
import signal
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.faults import bad_data, formats, growth, hostile, processes, ranks, runs, senseless
from tests.faults.rows import MEGABYTE, SECONDS, Row, damaged, in_child, table
from vse import checkpoints
from vse.checkpoints import Checkpoint, RunState
from vse.errors import InputError
from vse.files import writable_folder
from vse.formats.pickles import ORDERED, Refused, SafeUnpickler
from vse.published.checkpoints import load


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
    """Read checkpoints that somebody made to do harm, or one in `every`, each in a process of its own."""
    row = Row("hostile checkpoints")
    with inside_temporary_folder() as folder:
        for name, path in itertools.islice(hostile.files(folder), 0, None, every):
            if read_hostile(row, name, path, load) == "taken":
                row.wrong.append(f"{name}: taken")
    return row


def hostile_formats(count: int, forms: Sequence[formats.Format] = formats.FORMATS) -> Row:
    """Read files of every other format, made by hand and damaged ones: refused, or taken as what they are."""
    row = Row("hostile files of other formats")
    with inside_temporary_folder() as folder:
        for form in forms:
            path = folder / form.name / "index" / form.name
            path.parent.mkdir(parents=True)
            form.write(path)
            if (outcome := in_child(lambda form=form, path=path: form.read(path))[0]) != "taken":  # type: ignore[misc]
                row.wrong.append(f"{form.name}, sound: {outcome}")
            for name in formats.files(form, path, count):
                read_hostile(row, f"{form.name}, {name}", path, form.read)
    row.note = f"{len(forms)} formats; {row.note}"
    return row


def read_hostile(row: Row, name: str, path: Path, read: Callable[[Path], object]) -> str:
    """Read a file in a process of its own and count what came of it."""
    row.tried += 1
    outcome, seconds, memory = in_child(lambda: read(path))
    row.refused += outcome == "refused"
    row.harmless += outcome == "taken"
    if outcome not in ("refused", "taken"):
        row.wrong.append(f"{name}: {outcome}")
    if seconds > SECONDS or memory > 2 * path.lstat().st_size + 500 * MEGABYTE:
        row.wrong.append(f"{name}: {seconds:.1f} s, {memory / MEGABYTE:.0f} MB")
    if Path(hostile.MARK).exists():
        row.wrong.append(f"{name}: its code ran")
        Path(hostile.MARK).rmdir()
    row.seconds, row.memory = max(row.seconds, seconds), max(row.memory, memory)
    row.note = f"at most {row.seconds:.1f} s and {row.memory / MEGABYTE:.0f} MB"
    return outcome


@contextlib.contextmanager
def inside_temporary_folder() -> Iterator[Path]:
    """Work in a temporary folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


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


def bad_data_sets(every: int = 1) -> Row:
    """Train on data sets with a damaged file, or one in `every`: one sentence with file and remedy, or no harm."""
    row = Row("data sets with a damaged file")
    with tempfile.TemporaryDirectory() as name:
        sets = bad_data.Sets(Path(name))
        for network, file, what, damage in itertools.islice(bad_data.cases(), 0, None, every):
            row.tried += 1
            status, errors = sets.train(network, file, damage, row.tried)
            row.refused += status == 2
            row.harmless += status == 0
            if problem := bad_data.fault(file, status, errors):
                row.wrong.append(f"{network}, {file}, {what}: {problem}")
    return row


def two_processes(most: int | None = None) -> Row:
    """Compute a step in two processes and in one, for each network with each objective that it trains with."""
    row = Row("a step of two processes against one, each network with each objective")
    wanted = list(processes.combinations())[:most]
    with tempfile.TemporaryDirectory() as name:
        row.wrong = processes.compare(Path(name), wanted)
    row.tried = row.harmless = len(wanted)
    row.note = f"gradients equal to {processes.CLOSE:g}"
    return row


def long_runs(steps: int, networks: Sequence[str]) -> Row:
    """Train for many steps: neither memory nor open files grow."""
    row = Row(f"{steps} training steps without growth of memory or open files")
    with tempfile.TemporaryDirectory() as name:
        measured, row.wrong = growth.measure_all(Path(name), steps, networks)
    row.tried = len(networks)
    row.harmless = row.tried - len(row.wrong)
    row.note = "; ".join(measured)
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
    """Send SIGINT, SIGTERM and SIGUSR1 at any time between the first and the last line of a script."""
    row = Row("signals (SIGINT, SIGTERM, SIGUSR1) from start to end of a script, half of them with loader processes")
    with tempfile.TemporaryDirectory() as name:
        outcomes, row.wrong = runs.signals(Path(name), count)
    row.tried = count
    row.harmless = count - len(row.wrong)
    row.note = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    return row


def early_torchrun_runs(count: int) -> Row:
    """Signal one or both of torchrun's processes before the first step: both end within 60 s, without a traceback."""
    row = Row("signals to torchrun's processes before the first step")
    with tempfile.TemporaryDirectory() as name:
        row.harmless, row.wrong = ranks.early_signals(Path(name), count)
    row.tried = count
    return row


def torchrun_runs(count: int) -> Row:
    """Signal one or both of torchrun's two processes: both save, and exit with the signal's status within 60 s."""
    row = Row("signals to one or both of torchrun's two processes")
    with tempfile.TemporaryDirectory() as name:
        row.harmless, row.wrong = ranks.torchrun_signals(Path(name), count)
    row.tried = count
    row.note = "both exit with 130 or 143, one sentence, saved"
    return row


ATTACKS: dict[str, Callable[[], Row]] = {
    "flips": lambda: flips(1000),
    "hostile": hostile_files,
    "formats": lambda: hostile_formats(60),
    "pickles": lambda: fuzzed_pickles(100_000),
    "saves": lambda: failing_saves(100),
    "options": lambda: senseless_options(senseless.SCRIPTS),
    "extremes": lambda: senseless_runs(list(runs.NETWORKS), 250),
    "data": bad_data_sets,
    "processes": two_processes,
    "growth": lambda: long_runs(10_000, list(runs.NETWORKS)),
    "kills": lambda: killed_runs(list(runs.NETWORKS), 34, 9),
    "signals": lambda: signalled_runs(300),
    "torchrun": lambda: torchrun_runs(104),
    "early": lambda: early_torchrun_runs(40),
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
