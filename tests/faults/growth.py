"""A long run needs no more memory and no more open files at its end than at its beginning."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.conftest import write_data_set
from tests.faults.runs import Trainer, write_small_set

PAIRS = 5
"""Pairs of a step: the run is long, not large."""

MOST = 8 * 2**20
"""Bytes by which the median of the last part of a run may exceed that of an early part.

Of files it is less than one: a median of few samples can lie between two numbers of open files.
"""


def measure(network: str, folder: Path, steps: int) -> tuple[str, str]:
    """Train for many steps -> what was measured, what is wrong."""
    root, size = write_small_set(folder / "data"), {"VSRN_LSEH": 6, "SGRAF_LSEH": 6}.get(network, PAIRS)
    write_data_set(root / "small_precomp", images=(steps * size // 10, 8, 8))  # two epochs, five captions an image
    corners = Path(root / "small_precomp" / "train_ims_bbx.npy")
    corners.unlink(missing_ok=True)
    trainer = Trainer(network, root)
    trainer.flags = [*trainer.flags, "--batch_size", str(size), "--num_epochs", "2", "--val_step", str(steps // 10)]
    run = folder / "run"
    child = trainer.start(run, "--log_step", str(steps // 100))
    samples: list[tuple[int, int, int]] = []
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        samples += sample(child, Path(f"{run}.out"))
        time.sleep(0.05)
    status = os.waitstatus_to_exitcode(ended[1])
    if status:
        return "", f"{network}: exit {status} {Path(f'{run}.err').read_text()[-300:]}"
    last = max(step for step, _, _ in samples)
    early = [entry for entry in samples if last / 10 < entry[0] <= last * 3 / 10]
    late = [entry for entry in samples if entry[0] > last * 8 / 10]
    (memory, files), (memory_late, files_late) = (
        (median(e[1] for e in part), median(e[2] for e in part)) for part in (early, late)
    )
    more, more_files = memory_late - memory, files_late - files
    grown = f"{network.removesuffix('_LSEH')} {last} steps, {more / 2**20:+.1f} MB, {more_files:+g} files"
    return grown, grown if more > MOST or more_files >= 1 or last < steps * 9 / 10 else ""


def sample(process: int, printed: Path) -> list[tuple[int, int, int]]:
    """Return the step that a run has printed last, its memory in bytes, and its open files."""
    try:
        steps = re.findall(r"step (\d+)/", printed.read_text())
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    except (OSError, ValueError, IndexError):
        return []
    return [(int(steps[-1]), pages * os.sysconf("SC_PAGE_SIZE"), files)] if steps else []


def measure_all(folder: Path, steps: int, networks: Sequence[str]) -> tuple[list[str], list[str]]:
    """Measure networks one after the other -> what was measured, what is wrong."""
    found = [measure(network, folder / network, steps) for network in networks]
    return [what for what, _ in found if what], [wrong for _, wrong in found if wrong]
