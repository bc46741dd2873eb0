"""Speed and memory of `python -m vse convert`, against copying the same number of bytes on the same disk.

    python benchmarks/convert.py                # 2,000 images of 36 x 2048, about 1.4 GB of disk for a moment
    python benchmarks/convert.py --images 20000 # larger than the page cache of a small machine

A bottom-up-attention TSV file is written, then converted to float32 and float16 by a fresh process each, whose CPU time
and peak memory the operating system reports. Wanted: 200 MB of TSV a second or the disk's own speed, memory below 1 GB.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Options:
    """Benchmark of the feature converter."""

    images: int = 2000
    """Images in the file."""
    folder: Path | None = None
    """Where to write; default: the system's temporary folder."""


def main(options: Options) -> None:
    """Print how fast `vse convert` is beside a copy of its input."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        source = folder / "features.tsv"
        write_source(source, options.images)
        megabytes = source.stat().st_size / 1e6
        rows = [{"what": "copy and sync", **copy_speed(source, folder / "copy", megabytes)}]
        for dtype in ("float32", "float16"):
            rows.append({"what": f"convert to {dtype}", **convert(source, folder / dtype, dtype, megabytes)})
    print(f"{megabytes:.0f} MB of TSV")
    print(tabulate(rows, headers="keys", floatfmt=".0f"))


def write_source(path: Path, images: int) -> None:
    """Write a TSV file of 36 regions an image, and a caption file that lists its images in another order."""
    generator = np.random.default_rng(0)
    features = generator.exponential(size=(16, 36, 2048)).astype(np.float32)
    boxes = base64.b64encode(np.tile(np.array([0, 0, 100, 80], np.float32), 36).tobytes())
    encoded = [base64.b64encode(values.tobytes()) for values in features]
    with path.open("wb") as file:
        for image in range(images):
            file.write(b"%d\t640\t480\t36\t%s\t%s\n" % (image, boxes, encoded[image % 16]))
        file.flush()
        os.fsync(file.fileno())
    order = generator.permutation(images).tolist()
    entries = [
        {"cocoid": i, "split": "train", "filename": f"{i}.jpg", "sentences": [{"raw": "a photo"}] * 5} for i in order
    ]
    path.with_suffix(".json").write_text(json.dumps({"images": entries}))


def copy_speed(source: Path, target: Path, megabytes: float) -> dict[str, float]:
    """Measure how fast the disk reads the file and writes it elsewhere."""
    start, cpu = time.perf_counter(), time.process_time()
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(2**22):
            write.write(block)
        write.flush()
        os.fsync(write.fileno())
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    target.unlink()
    return {"MB/s": megabytes / wall, "MB per CPU second": megabytes / cpu}


def convert(source: Path, out: Path, dtype: str, megabytes: float) -> dict[str, float]:
    """Convert the file in a process of its own; return seconds, MB/s and the peak of memory."""
    command = [sys.executable, "-m", "vse", "convert", str(source), "--out", str(out), "--dtype", dtype]
    command += ["--captions", str(source.with_suffix(".json"))]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"error: {' '.join(command)} failed")
    for path in out.iterdir():
        path.unlink()
    return {
        "MB/s": megabytes / wall,
        "MB per CPU second": megabytes / (usage.ru_utime + usage.ru_stime),
        "peak memory, MB": usage.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main(tyro.cli(Options))
