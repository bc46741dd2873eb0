"""Scoring and ranking a split against the published per-query loop, in one run: CPU seconds, memory, equality.

    python benchmarks/evaluation.py                        # 1,000 x 5,000 and 5,000 x 25,000, 1,024 dimensions
    python benchmarks/evaluation.py --images 1000
    python benchmarks/evaluation.py --images 5000 --one original    # CPU seconds of the float64 loop, as JSON

The loop is written here from its description: for every image one float64 product with all captions, an argsort read
backwards, and a search for each of the image's five captions; for every image's five captions one product with all
images, five argsorts, five searches. It is timed on evenly spaced images and scaled up (`--loop_images`), once in
float64 as published and once in float32, the type ours has; ours is the median of three runs. Both sides run on one
thread, so that CPU seconds compare. Memory is the peak of a fresh process beyond what it holds with the embeddings.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from measuring import PROCEDURES, memory_of
from tabulate import tabulate
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from vse.evaluation.ranking import evaluate, metrics, ranks
from vse.evaluation.scoring import score_matrix
from vse.nn.network import EmbeddingNetwork, Embeddings

DIMENSIONS = 1024
CAPTIONS = 5
REPEATS = 3


def embeddings(n_images: int) -> tuple[Tensor, Tensor]:
    """Draw unit vectors [N, D] and [5 N, D] as of a half-trained network: captions lie around their image."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n_images, DIMENSIONS, generator=generator)
    captions = torch.randn(n_images * CAPTIONS, DIMENSIONS, generator=generator).mul_(8)
    for number in range(CAPTIONS):
        captions[number::CAPTIONS] += images
    images /= torch.linalg.vector_norm(images, dim=1, keepdim=True)
    captions /= torch.linalg.vector_norm(captions, dim=1, keepdim=True)
    return images, captions


def score(images: Tensor, captions: Tensor) -> Tensor:
    """Score images [N, D] against captions [M, D] as an evaluation does -> [N, M]."""
    return score_matrix(EmbeddingNetwork(), Embeddings(images), Embeddings(captions))


def published_loop(images: np.ndarray, captions: np.ndarray, chosen: range) -> tuple[list[int], list[int]]:
    """0-based ranks of both directions for the chosen images and their captions."""
    image_to_text, text_to_image = [], []
    for image in chosen:
        own = range(CAPTIONS * image, CAPTIONS * (image + 1))
        order = np.argsort(np.dot(images[image : image + 1], captions.T).flatten())[::-1]
        image_to_text.append(min(int(np.where(order == caption)[0][0]) for caption in own))
    for image in chosen:
        scores = np.dot(captions[CAPTIONS * image : CAPTIONS * (image + 1)], images.T)
        for row in scores:
            order = np.argsort(row)[::-1]
            text_to_image.append(int(np.where(order == image)[0][0]))
    return image_to_text, text_to_image


def published_sorts(scores: np.ndarray, chosen: range) -> None:
    """Rank as VSE-infinity's code does: all scores are there, each query's are sorted."""
    for image in chosen:
        order = np.argsort(scores[image])[::-1]
        for caption in range(CAPTIONS * image, CAPTIONS * (image + 1)):
            np.where(order == caption)
    for image in chosen:
        for row in scores.T[CAPTIONS * image : CAPTIONS * (image + 1)]:
            np.where(np.argsort(row)[::-1] == image)


def full_sort(scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of both directions by sorting every row and every column of the matrix, stable."""
    n_images, n_captions = scores.shape
    owner = torch.arange(n_captions) // CAPTIONS
    image_to_text, text_to_image = [], []
    for rows in torch.arange(n_images).split(200):
        order = scores[rows].argsort(dim=1, descending=True, stable=True)
        image_to_text.append((owner[order] == rows[:, None]).int().argmax(dim=1))
    for columns in torch.arange(n_captions).split(1000):
        order = scores[:, columns].T.contiguous().argsort(dim=1, descending=True, stable=True)
        text_to_image.append((order == owner[columns, None]).int().argmax(dim=1))
    return torch.cat(image_to_text).numpy(), torch.cat(text_to_image).numpy()


def cpu_seconds(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Median of the CPU seconds over the repeats, and the result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return median(seconds), result


def peak_memory(n_images: int) -> None:
    """Print the bytes that scoring and the whole evaluation take beyond the embeddings; run in a process of its own."""
    images, captions = embeddings(n_images)
    held = _resident("VmRSS")
    evaluate(score(images, captions), torch.arange(len(captions)) // CAPTIONS)
    print(_resident("VmHWM") - held)


def _resident(what: str) -> int:
    """Bytes of memory that Linux counts for this process: VmRSS now, VmHWM at the most."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def seconds_of(procedure: str, n_images: int, loop_images: int, whole: bool = False) -> float:
    """CPU seconds of scores and ranks; what the original procedure does for a query is scaled up from `loop_images`.

    Args:
        whole: the original procedure is VSE-infinity's, which computes all scores at once, in float32.
    """
    memory_of(procedure)
    images, captions = embeddings(n_images)
    if procedure == "ours":
        owner = torch.arange(len(captions)) // CAPTIONS
        score(images[:100], captions[:500])  # the first product also sets the library up
        return cpu_seconds(lambda: metrics(ranks(score(images, captions), owner)))[0]
    chosen = range(0, n_images, max(1, n_images // loop_images))
    if not whole:
        im, cap = images.double().numpy(), captions.double().numpy()
        return cpu_seconds(lambda: published_loop(im, cap, chosen))[0] * n_images / len(chosen)
    product, scores = cpu_seconds(lambda: images.numpy() @ captions.numpy().T)
    return product + cpu_seconds(lambda: published_sorts(scores, chosen))[0] * n_images / len(chosen)


def benchmark(n_images: int, loop_images: int) -> list[str]:
    """Measure each stage of an evaluation of `n_images`; the loop takes `loop_images`."""
    images, captions = embeddings(n_images)
    owner = torch.arange(len(captions)) // CAPTIONS

    score(images[:100], captions[:500])  # the first product also sets the library up
    scoring, scores = cpu_seconds(lambda: score(images, captions), REPEATS)
    ranking, found = cpu_seconds(lambda: ranks(scores, owner), REPEATS)
    summary, _ = cpu_seconds(lambda: metrics(found))
    everything, _ = cpu_seconds(lambda: evaluate(scores, owner))
    ours = scoring + ranking + summary

    chosen = range(0, n_images, max(1, n_images // loop_images))
    loops = []
    for dtype in (np.float64, np.float32):
        im, cap = images.numpy().astype(dtype), captions.numpy().astype(dtype)
        seconds, (image_to_text, text_to_image) = cpu_seconds(lambda im=im, cap=cap: published_loop(im, cap, chosen))
        loops.append(seconds * n_images / len(chosen))
        asked = np.isin(owner.numpy(), chosen)
        same = (
            np.mean(found.image_to_text[chosen] == image_to_text),
            np.mean(found.text_to_image[asked] == text_to_image),
        )
        agreement = f"{100 * min(same):.2f} %"
        if dtype is np.float64:
            agreement64 = agreement

    by_image, by_caption = full_sort(scores)
    equal = np.array_equal(found.image_to_text, by_image) and np.array_equal(found.text_to_image, by_caption)
    child = [sys.executable, __file__, "--peak_of", str(n_images)]
    peak = int(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    return [
        f"{n_images:,} x {len(captions):,}",
        f"{ours:.2f} ({scoring:.2f} + {ranking:.2f})",
        f"{loops[0]:.1f}",
        f"{loops[0] / ours:.1f}",
        f"{loops[1]:.1f}",
        f"{loops[1] / ours:.1f}",
        f"{len(chosen):,} of {n_images:,}",
        agreement64,
        "yes" if equal else "NO",
        f"{everything - ranking - summary:.2f}",
        f"{peak / 1e9:.2f}",
    ]


def main() -> None:
    """Print the table of evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000], help="images of each split measured")
    parser.add_argument("--loop_images", type=int, default=100, help="images the loop is timed on")
    parser.add_argument("--one", choices=PROCEDURES, help="scores and ranks by this procedure, as JSON")
    parser.add_argument("--whole", action="store_true", help="with --one original: VSE-infinity's ranking")
    parser.add_argument("--peak_of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak_of:
        peak_memory(arguments.peak_of)
        return
    if arguments.one:
        with threadpool_limits(1):
            seconds = seconds_of(arguments.one, arguments.images[0], arguments.loop_images, arguments.whole)
        print(json.dumps({"cpu_s": seconds}))
        return
    with threadpool_limits(1):
        columns = [benchmark(n_images, arguments.loop_images) for n_images in arguments.images]
    names = [
        "images x captions",
        "ours, CPU s (scores + ranks)",
        "loop in float64, CPU s",
        "  times ours (bar: 10)",
        "loop in float32, CPU s",
        "  times ours",
        "loop timed on images",
        "ranks equal to the float64 loop's",
        "every rank equal to a full stable sort",
        "hubness, mAP@R besides, CPU s",
        "peak memory beyond embeddings, GB (bar: 1.5)",
    ]
    print(tabulate(list(zip(names, *columns, strict=True)), disable_numparse=True, tablefmt="github"))
    kernels = ", ".join(
        f"{pool['prefix']} {pool['architecture']}" for pool in threadpool_info() if "architecture" in pool
    )
    print(f"torch {torch.__version__}, numpy {np.__version__} ({kernels})")


if __name__ == "__main__":
    main()
