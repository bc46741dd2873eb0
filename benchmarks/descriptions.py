"""SVDdescriptions.py against the published procedure, in one run: CPU seconds, memory, exactness, time to read.

    python benchmarks/descriptions.py train_caps.txt                     # Flickr30K: some ten CPU minutes
    python benchmarks/descriptions.py train_caps.txt --captions 20000    # both sides on the first 20,000 captions
    python benchmarks/descriptions.py train_caps.txt --one original      # CPU seconds of this procedure, as JSON

Each side is a process of its own, imports and files included; CPU seconds are user and system time. The published side
gets one thread, which is the fewest CPU seconds that it can take. Similarities are compared with those of singular
vectors that scipy's ARPACK finds, to machine precision, from scikit-learn's TF-IDF matrix: inner products of random
pairs of captions, and cosines of those whose vectors are no shorter than 0.05 (shorter ones lie almost outside the
components, where every method returns noise). Reading is timed in a fresh process, imports excluded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measuring import PROCEDURES
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import TfidfVectorizer
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from vse import REPOSITORY
from vse.descriptions.svd import RAW_TOKEN, stem

PAIRS = 300_000
SHORTEST = 0.05
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
READ = """
import sys, time
from pathlib import Path
from vse.descriptions.store import load
captions = Path(sys.argv[2])
rows = len(captions.read_text(encoding="utf-8").split(chr(10))) - 1
wall, cpu = time.perf_counter(), time.process_time()
load(Path(sys.argv[1]), captions, rows)
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def measure(*command: str | Path, **environment: str) -> tuple[float, float, str]:
    """CPU seconds and peak memory in GB of a Python process, and what it printed."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(process.returncode)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, printed


def exact_vectors(captions: list[str], components: int) -> np.ndarray:
    """Compute the vectors by ARPACK, to machine precision."""
    strings = [" ".join(filter(None, map(stem, RAW_TOKEN.findall(caption)))) for caption in captions]
    matrix = TfidfVectorizer(stop_words="english").fit_transform(strings)
    with threadpool_limits(1):
        _, _, transposed = svds(matrix, components, tol=0, solver="arpack", random_state=0)
    return matrix @ transposed.T


def similarities(vectors: np.ndarray, pairs: np.ndarray, long_enough: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of all pairs, cosines of those whose two vectors are long enough."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    products = np.concatenate(
        [np.einsum("ij,ij->i", vectors[a], vectors[b], dtype=np.float64) for a, b in np.array_split(pairs, 30, axis=1)]
    )
    return products, (products / norms[pairs].prod(axis=0).clip(1e-30))[long_enough]


def main() -> None:
    """Print how far randomised vectors are from exact ones, and what each costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions_file", type=Path)
    parser.add_argument("--captions", type=int, help="use only so many captions, on both sides")
    parser.add_argument("--skip_published", action="store_true", help="measure only ours")
    parser.add_argument("--one", choices=PROCEDURES, help="this procedure, as JSON")
    options = parser.parse_args()
    lines = options.captions_file.read_text(encoding="utf-8").removesuffix("\n").split("\n")[: options.captions]

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        captions_file = folder / "train_caps.txt"
        captions_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if options.one == "original":
            printed = measure("benchmarks/published_descriptions.py", captions_file, folder, **ONE_THREAD)[2]
            print(json.dumps({"cpu_s": sum(json.loads(printed).values())}))
            return
        cpu, memory, _ = measure("SVDdescriptions.py", "--data_path", captions_file, "--output", folder, **ONE_THREAD)
        if options.one == "ours":
            print(json.dumps({"cpu_s": cpu}))
            return
        reading = [measure("-c", READ, folder, captions_file)[2].split() for _ in range(3)]
        wall_reading, cpu_reading = (max(map(float, column)) for column in zip(*reading, strict=True))
        ours = np.load(folder / "train_svd.npy", mmap_mode="r")
        (folder / "train_svd.txt").unlink()
        rows: list[list[str | float]] = [["ours", cpu, memory]]
        if not options.skip_published:
            _, published_memory, printed = measure(
                "benchmarks/published_descriptions.py", captions_file, folder, **ONE_THREAD
            )
            stages = json.loads(printed)
            published_cpu = sum(stages.values())  # without the array that is saved for this comparison
            published = np.load(folder / "vectors.npy", mmap_mode="r")
            rows.append(["published", published_cpu, published_memory])
            print(tabulate(stages.items(), headers=["published stage", "CPU s"], floatfmt=".1f"))
        # Only now: a process that is started from one that holds much memory would count that as its own.
        exact = exact_vectors(lines, ours.shape[1])
        pairs = np.random.default_rng(0).integers(0, len(lines), size=(2, PAIRS))
        long_enough = (np.linalg.norm(exact, axis=1) >= SHORTEST)[pairs].all(axis=0)
        truth = similarities(exact, pairs, long_enough)
        for row, vectors in zip(rows, [ours] if options.skip_published else [ours, published], strict=True):
            row += [abs(a - b).max() for a, b in zip(similarities(vectors, pairs, long_enough), truth, strict=True)]
    print(f"\n{len(lines):,} captions, {ours.shape[1]} components")
    headers = ["", "CPU s", "peak GB", "largest error of an inner product", "of a cosine"]
    print(tabulate(rows, headers=headers, floatfmt=("", ".1f", ".2f", ".1e", ".1e")))
    print(f"reading in training: {wall_reading:.2f} s, {cpu_reading:.2f} CPU s")
    if not options.skip_published:
        print(f"ours takes {published_cpu / cpu:.1f} times less CPU time")


if __name__ == "__main__":
    main()
