"""End scripts with one sentence and an exit status, whatever stops them."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from vse.console import any_character, complain, finish
from vse.errors import InputError
from vse.memory import asked_for, is_lack_of_memory

SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()))
"""What asks a script to stop; Slurm sends SIGUSR1 as a warning before a job's time is over."""

AGENT = 3.0
"""Seconds in which torchrun ends the other processes when one has ended."""

LONGEST = 3000
"""Characters of a sentence."""

FIRST_PROCESS = 10.0
"""Seconds in which the first process finds the mistake that another one has found."""


class Stopped(BaseException):
    """One of `SIGNALS` asked the script to stop."""


def run_to_end(work: Callable[[], None]) -> NoReturn:
    """Call `work` and exit.

    Exit statuses: 0; 2 after a user's mistake, too little memory or a file that cannot be used, with one sentence; 130
    after SIGINT, 143 after SIGTERM and 138 after SIGUSR1, with one sentence; 1 after any other exception, with its
    traceback, or if standard output could not be written; 141 if the reader of standard output was gone. Of torchrun's
    processes the first one says what is wrong, and another one only if the first does not end.
    """
    stop = _Stop()
    atexit.register(_ignore_signals)  # registered first, called last
    threading.excepthook = _warn_of_thread
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        any_character()
        work()
        status = 0
    except BaseException as problem:
        _leave_loaders_alone()
        status = 128 + stop.received if stop.received else _status_of(problem)
    stop.at_once = True
    if stop.received:  # perhaps a library swallowed the exception
        stop.told = True
        if _is_first():
            complain(_sentence(stop.received))
        sys.exit(128 + stop.received)
    lost = finish()
    sys.exit(status or lost)


class _Stop:
    """Handler of signals: raises `Stopped`, and ends the process at once on a second signal or when all is done."""

    def __init__(self) -> None:
        self.received = 0
        self.at_once = False
        self.told = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.at_once or self.received:
            os.write(2, b"" if self.told or not _is_first() else f"{_sentence(self.received or number)}\n".encode())
            os._exit(128 + number)
        self.received = number
        raise Stopped


def _is_first() -> bool:
    """Return whether this is the first of torchrun's processes, which gets every signal that another one gets."""
    return int(os.environ.get("RANK", "0")) == 0


def _sentence(number: int) -> str:
    return f"stopped by {signal.Signals(number).name}"


def _warn_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Say in one line that a thread has ended, as TensorBoard's does when it cannot write; the script goes on."""
    complain(f"warning: a thread has ended ({ended.exc_type.__name__}: {ended.exc_value}); what it did stays undone")


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_loaders_alone() -> None:
    """Take back torch's handler, which raises an exception wherever the script is when a loader process is killed."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _status_of(problem: BaseException) -> int:
    """Print what a person needs to know of an exception and return the exit status for it."""
    if isinstance(problem, InputError):
        if not _is_first():
            _leave_it_to_the_first_process()
        complain(f"error: {_shortened(str(problem))}")
        return 2
    if isinstance(problem, SystemExit):
        if isinstance(problem.code, str):
            complain(problem.code)
        return problem.code if isinstance(problem.code, int) else int(problem.code is not None)
    if isinstance(problem, KeyboardInterrupt):
        return 130
    if is_lack_of_memory(problem):
        complain(
            f"error: there is not enough memory{asked_for(problem)}; choose a smaller --batch_size or a smaller network"
        )
        return 2
    if isinstance(problem, OSError) and isinstance(problem.filename, (str, os.PathLike)):
        complain(f"error: {problem.filename}: {problem.strerror}; check this path, its permissions and its disk")
        return 2
    if isinstance(problem, RuntimeError) and str(problem).startswith("DataLoader worker"):
        how = re.search(r"by signal: (\w+)", str(problem))
        for loader in multiprocessing.active_children():  # on a busy machine it would outlive its queue and say so
            loader.kill()
        complain(
            f"error: a loader process was ended from outside ({how[1] if how else 'no reason is known'}), perhaps for "
            "lack of memory; go on with --resume auto, and fewer --workers"
        )
        return 2
    if isinstance(problem, RuntimeError) and "does not have a deterministic implementation" in str(problem):
        complain(f"error: --deterministic: torch's {str(problem).split()[0]} has no such kernel; leave the flag out")
        return 2
    if _is_lost_process(problem):
        with suppress(Stopped):  # the other one got a signal and torchrun passes it on
            time.sleep(AGENT)
            complain("error: another process has ended; training goes on with --resume auto")
        return 2
    traceback.print_exception(problem)
    return 1


def _shortened(text: str) -> str:
    """Cut the middle out of a sentence that quotes far too much of a file."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def _leave_it_to_the_first_process() -> None:
    """Return if the first process goes on; exit if it has ended, so that torchrun ends this one."""
    try:
        time.sleep(FIRST_PROCESS)
    except Stopped:
        os._exit(2)


def _is_lost_process(problem: BaseException) -> bool:
    # Errors of NCCL and of torchrun's store have a class, those of gloo only their text.
    names = {kind.__name__ for kind in type(problem).__mro__}
    return "DistError" in names or (isinstance(problem, RuntimeError) and "gloo" in str(problem).lower())
