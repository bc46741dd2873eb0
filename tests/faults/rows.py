"""What came of an attack, the table of it, and processes that read one file each."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tabulate import tabulate

from vse.errors import InputError

MEGABYTE = 2**20
SECONDS = 10.0
"""Most seconds of a processor that refusing a file may take."""
PATIENCE = 30
"""Seconds after which a process that reads a file is ended."""


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
    seconds: float = 0.0
    """Most that a file took of a processor, and the next of memory, in bytes."""
    memory: float = 0.0


def table(rows: list[Row]) -> str:
    """Return a Markdown table of counts, and below it what went wrong."""
    cells = [[row.attack, row.tried, row.refused, row.harmless, len(row.wrong), row.note] for row in rows]
    headers = ["attack", "tried", "refused with one sentence", "harmless", "wrong", ""]
    wrong = [f"- {row.attack}: {problem}" for row in rows for problem in row.wrong[:20]]
    return "\n".join([tabulate(cells, headers, tablefmt="github"), *wrong])


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


def in_child(work: Callable[[], object]) -> tuple[str, float, float]:
    """Run in a forked process -> (refused, taken, or an exception; its seconds of a processor; bytes of memory)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        started = time.process_time()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            work()
            outcome = "taken"
        except InputError as problem:
            outcome = "refused" if len(str(problem).splitlines()) == 1 else f"not one line: {problem}"
        except BaseException as problem:
            outcome = f"traceback: {problem!r}"
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        os.write(writing, f"{time.process_time() - started}\n{memory}\n{outcome[:500]}".encode(errors="replace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds, memory, outcome = (answer or f"inf\n0\nended by signal {-status}").split("\n", 2)
    return outcome, float(seconds), float(memory)
