"""`python -m vse experiment PLAN.toml`: train and evaluate a grid of configurations, and report the results."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from vse import REPOSITORY
from vse.cli import parse
from vse.console import say, warn
from vse.errors import InputError
from vse.evaluation.reports import load_evaluation
from vse.files import read_bytes, write_atomically
from vse.options import EvaluationOptions
from vse.tools.experiment_report import write_report
from vse.tools.options import ExperimentOptions
from vse.tools.plans import Plan, Task, read_plan, tasks_of, without_places
from vse.training import locks
from vse.training.record import read_record


def main(options: ExperimentOptions) -> None:
    """Run what is not done yet, then write the report.

    Raises:
        InputError: the plan is wrong, a folder holds something else, or runs failed.
    """
    plan = read_plan(options.plan, options.out)
    tasks = tasks_of(plan)
    if options.dry_run:
        print("\n".join(lines_of(tasks)))
        return
    failures: dict[str, str] = {}
    if not options.report:
        states = states_of(tasks)  # refuses before anything is written
        check_flags([task for task in tasks if states[task.name] == "new"])
        if importlib.util.find_spec("matplotlib") is None:
            warn("the report will have no plots; pip install matplotlib, or vse[report]")
        with locks.hold(plan.folder):
            text = read_bytes(options.plan)
            write_atomically(plan.folder / "plan.toml", lambda file: file.write(text))
            say(f"{plan.title}: {len(tasks)} folders in {plan.folder}, {_count(states)}")
            waiting = [task for task in tasks if states[task.name] != "done"]
            done = {task.name for task in tasks if states[task.name] == "done"}
            with _executor(plan, options) as submit:
                failures = run_tasks(waiting, done, submit, options.jobs)
    if not failures or any(task.result.exists() for task in tasks):
        say(f"report: {write_report(plan, tasks)}")
    if failures:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:10])
        raise InputError(f"{len(failures)} of {len(tasks)} runs failed: {first}; mend them and run the plan again")


def check_flags(tasks: Sequence[Task]) -> None:
    """Let the scripts of this repository parse the flags of runs before the first of them begins.

    Raises:
        InputError: a script refuses its flags; a parser has then printed why.
    """
    checked: set[tuple[str, ...]] = set()
    for task in tasks:
        for command in filter(None, (task.train, task.evaluate)):
            script, flags = Path(command[0]).resolve(), without_places(command)
            alike = tuple(word for place, word in enumerate(flags) if flags[place - 1] != "--seed")
            if alike in checked or script.parent.parent != REPOSITORY:
                continue
            checked.add(alike)
            module = importlib.import_module(f"{script.parent.name}.{script.stem}")
            try:
                program = str(script.relative_to(REPOSITORY))
                parse(getattr(module, "Options", EvaluationOptions), arguments=list(command[1:]), program=program)
            except SystemExit:
                raise InputError(f"{task.name}: its script does not take the flags {shlex.join(flags[1:])}") from None


def lines_of(tasks: Sequence[Task]) -> Iterator[str]:
    """Yield the commands of tasks, in an order in which a shell can run them."""
    for task in tasks:
        yield f"# {task.name}"
        if task.train and not task.epochs:
            yield _line(task.train)
        for epoch in range(1, task.epochs + 1):
            yield _line(_until(task, epoch))
            yield _line(_of_epoch(task, epoch))
        if task.evaluate:
            if not task.train:
                yield f"mkdir -p {shlex.quote(str(task.folder))}"
            yield _line(task.evaluate)


def state_of(task: Task) -> Literal["done", "begun", "new"]:
    """Where a task stands, by the records in its folder.

    Raises:
        InputError: the folder holds another run.
    """
    record = _read(task.folder / "run.json")
    if record is not None and not _made_by(task, record):
        raise InputError(
            f"{task.folder}: holds a run of another command, {shlex.join(_arguments(record))}; give another --out, or "
            "move that folder away"
        )
    if _done(task):
        return "done"
    return "new" if record is None else "begun"


def states_of(tasks: Sequence[Task]) -> dict[str, str]:
    """Where every task stands; a warm start that no task needs any more is done.

    Raises:
        InputError: a folder holds another run.
    """
    states: dict[str, str] = {task.name: state_of(task) for task in tasks}
    for task in tasks:
        if not task.train and any(states[name] != "done" for name in task.needs):
            states[task.name] = "new"  # of models that will be others
    for task in tasks:
        dependants = [other.name for other in tasks if task.name in other.needs]
        if not task.evaluate and all(states[name] == "done" for name in dependants):
            states[task.name] = "done"
    return states


def run_task(task: Task, threads: int) -> None:
    """Run the commands of a task that are not done yet; their output goes to log files in its folder.

    Raises:
        InputError: a command failed; the message has the end of its output.
    """
    if (holder := locks.holder_of(task.folder)) is not None:  # a run whose experiment was killed goes on alone
        say(f"{task.name}: {locks.describe(holder)} still works on it, waiting")
    while locks.holder_of(task.folder) is not None:
        if _stopping.wait(5):
            raise InputError("stopped while it waited")
    task.folder.mkdir(parents=True, exist_ok=True)
    if task.train and not _trained(task):
        task.result.unlink(missing_ok=True)
        for epoch in range(1, task.epochs):
            if not _metrics_of_epoch(task, epoch).exists():
                _run(_until(task, epoch), task.folder / "train.log", threads)
                _run(_of_epoch(task, epoch), task.folder / "evaluation.log", threads)
        _run(task.train, task.folder / "train.log", threads)
    if task.epochs and not _metrics_of_epoch(task, task.epochs).exists():
        _run(_of_epoch(task, task.epochs), task.folder / "evaluation.log", threads)
    if task.evaluate and not (task.train and _done(task)):
        _run(task.evaluate, task.folder / "evaluation.log", threads)


class Future(Protocol):
    """Result of a pool of threads or of submitit's executors."""

    def done(self) -> bool:
        """Whether it has ended."""

    def exception(self) -> BaseException | None:
        """How it failed, if it did."""


def run_tasks(tasks: Sequence[Task], done: set[str], submit: Callable[[Task], Future], at_once: int) -> dict[str, str]:
    """Run tasks in their order, so many at once, each after those that it needs.

    Returns:
        Name and reason of those that failed; one that needs a failed one is left out, and among them.
    """
    waiting, running = list(tasks), dict[str, tuple[Future, float]]()
    done, failures, total = set(done), dict[str, str](), len(tasks)
    while waiting or running:
        for task in list(waiting):
            if any(name in failures for name in task.needs):
                failures[task.name] = "what it begins with failed"
                waiting.remove(task)
            elif len(running) < at_once and done.issuperset(task.needs):
                say(f"{task.name}: begins")
                running[task.name] = (submit(task), time.monotonic())
                waiting.remove(task)
        for name, (future, started) in list(running.items()):
            if future.done():
                del running[name]
                problem = future.exception()
                if problem is None:
                    done.add(name)
                    left = len(waiting) + len(running)
                    say(f"{name}: done in {_clock(time.monotonic() - started)}, {total - left} of {total}")
                else:
                    failures[name] = _reason(problem)
                    warn(f"{name}: {failures[name]}")
        time.sleep(0.1)
    return failures


@contextmanager
def _executor(plan: Plan, options: ExperimentOptions) -> Iterator[Callable[[Task], Future]]:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, processors // options.jobs)
    if options.cluster is not None:
        yield _cluster(plan, options.cluster)
        return
    with ThreadPoolExecutor(options.jobs) as pool, _ending_children():
        yield lambda task: pool.submit(run_task, task, threads)


def _cluster(plan: Plan, cluster: str) -> Callable[[Task], Future]:
    """Return what submits a task as a job; whatever submitit objects to ends with one sentence."""
    try:
        import submitit
    except ImportError:
        raise InputError(f"--cluster {cluster}: needs submitit; pip install submitit, or vse[cluster]") from None

    def or_refuse(what: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as problem:
            said = " ".join(str(problem).split()) or type(problem).__name__
            raise InputError(f"--cluster {cluster}: {what} ({said})") from None

    start = "cannot submit jobs from here"
    executor = or_refuse(start, lambda: submitit.AutoExecutor(folder=plan.folder / "cluster", cluster=cluster))
    or_refuse("the plan's [cluster] does not fit it", lambda: executor.update_parameters(**plan.cluster))
    return lambda task: or_refuse(f"{task.name} was not accepted", lambda: executor.submit(run_task, task, 0))


_children: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


@contextmanager
def _ending_children() -> Iterator[None]:
    """When the experiment is stopped, stop the running commands as well, which save and exit."""
    _stopping.clear()
    try:
        yield
    except BaseException:
        _stopping.set()
        for child in list(_children):
            child.terminate()
        for child in list(_children):
            child.wait()
        raise


def _run(command: Sequence[str], log: Path, threads: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    if threads:
        given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # a list is of nested levels
        environment["OMP_NUM_THREADS"] = str(min(threads, int(given)) if given.isdecimal() else threads)
    with log.open("ab") as file:
        file.write(f"$ {_line(command)}\n".encode())
        file.flush()
        child = subprocess.Popen([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, env=environment)
        _children.add(child)
        if _stopping.is_set():  # begun while the others were told
            child.terminate()
        try:
            status = child.wait()
        finally:
            _children.discard(child)
    if status:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        raise InputError(f"{Path(command[0]).name} ended with status {status}: {said} ({log})")


def _trained(task: Task) -> bool:
    record = _read(task.folder / "run.json")
    return record is not None and record.get("ended") is not None and _arguments(record) == list(task.train[1:])


def _done(task: Task) -> bool:
    if task.train and not _trained(task):
        return False
    if not task.evaluate:
        return True
    try:
        result = load_evaluation(task.result)
    except InputError:
        return False
    return _arguments(result.record) == list(task.evaluate[1:])


def _made_by(task: Task, record: Mapping[str, Any]) -> bool:
    """Whether a run is this task's, or its beginning up to some epoch."""
    made, planned = _arguments(record), list(task.train[1:])
    begun = task.epochs and made[:-2] == planned and made[-2:-1] == ["--num_epochs"]
    return made == planned or bool(begun)


def _arguments(record: Mapping[str, Any]) -> list[str]:
    return list(record["environment"]["command"][2:])  # after `python` and the script


def _read(path: Path) -> dict[str, Any] | None:
    there = path.exists() or path.parent.is_file()
    return read_record(path) if there else None


def _until(task: Task, epoch: int) -> tuple[str, ...]:
    return task.train if epoch == task.epochs else (*task.train, "--num_epochs", str(epoch))


def _of_epoch(task: Task, epoch: int) -> tuple[str, ...]:
    """Return the command that evaluates the model of an epoch."""
    words = list(task.evaluate)
    words[words.index("--model_path") + 1] = str(task.folder / "checkpoint.pth.tar")
    words[words.index("--json") + 1] = str(_metrics_of_epoch(task, epoch))
    return tuple(words)


def _metrics_of_epoch(task: Task, epoch: int) -> Path:
    return task.folder / f"test_after_epoch_{epoch:03}.metrics"


def _reason(problem: BaseException) -> str:
    """Why a task failed, in a line; submitit wraps it in a traceback."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    errors = [line.split("Error: ", 1)[1] for line in lines if "Error: " in line]
    return errors[-1] if errors else lines[-1]


def _line(command: Sequence[str]) -> str:
    script = Path(command[0])
    shown = script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script
    return shlex.join(["python", str(shown), *command[1:]])


def _count(states: Mapping[str, str]) -> str:
    counts = {state: list(states.values()).count(state) for state in ("done", "begun", "new")}
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02d}:{int(seconds) % 60:02d}"
