"""An index of many vectors: how long it takes to build, to search, and how many of the best items are found.

    python benchmarks/search.py                                  1,000,000 vectors of 1,024 numbers, exact and IVF-PQ
    python benchmarks/search.py --vectors 100000 --faiss hnsw

Vectors lie around 10,000 centres, as those of a trained network lie around meanings; a query is an item's vector with
noise. The index and FAISS's file take 4.1 GB and more of the temporary folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn.functional import normalize

from vse.inference.model import Model
from vse.nn.network import Embeddings, Encoding
from vse.search import approximate
from vse.search.find import find
from vse.search.store import SHARD_ROWS, Index, Item

CENTRES = 10_000
QUERIES = 20
K = 10


class Clock(NamedTuple):
    """A moment: on the wall, and in CPU time, which a busy machine changes less."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clock:
        """Read both."""
        return cls(time.perf_counter(), time.process_time())

    def passed(self, unit: float = 1.0) -> list[str]:
        """Return the time since then in whole units of so many seconds, of both."""
        return [f"{(now - then) / unit:.0f}" for now, then in zip(Clock.now(), self, strict=True)]


class InnerProducts:
    """Scores of an embedding network."""

    pairwise = False

    def score(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the inner products [n, m]."""
        return images.vectors @ texts.vectors.T


def vectors(centres: Tensor, first: int, count: int) -> Tensor:
    """Draw unit vectors [count, D] around the centres, the same for the same `first`."""
    random = torch.Generator().manual_seed(first)
    near = centres[torch.randint(len(centres), (count,), generator=random)]
    return normalize(near + torch.randn(near.shape, generator=random) * 0.7 / near.shape[1] ** 0.5, dim=1)


def build(folder: Path, centres: Tensor, count: int) -> Index:
    """Write an index of `count` images, a shard at a time."""
    index = Index(folder, {"weights_sha256": "0" * 64})
    for first in range(0, count, SHARD_ROWS):
        rows = range(first, min(first + SHARD_ROWS, count))
        items = [Item(str(row), f"picture_{row}.jpg", "0") for row in rows]
        made = vectors(centres, first, len(rows))
        index.update("images", items, lambda places, made=made: Embeddings(made[places]))  # type: ignore[misc]
    return index


def search(index: Index, queries: list[Encoding], exact: bool, candidates: int) -> tuple[list[str], list[set[str]]]:
    """Search for every query -> ms a query after a first one, of both clocks, and the keys that each finds."""
    model = cast(Model, InnerProducts())

    def keys(query: Encoding) -> set[str]:
        return {hit.item.key for hit in find(model, index, "images", query, "captions", K, candidates, exact).hits}

    keys(queries[0])  # opens the files
    began = Clock.now()
    found = [keys(query) for query in queries]
    return began.passed(len(queries) / 1000), found


def main() -> None:
    """Print the table of search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--faiss", choices=["flat", "ivfpq", "hnsw"], nargs="*", default=["ivfpq"])
    parser.add_argument("--candidates", type=int, default=200, help="items that are scored, see vse search")
    options = parser.parse_args()
    centres = normalize(torch.randn(CENTRES, options.dimensions, generator=torch.Generator().manual_seed(1)), dim=1)
    noise = torch.Generator().manual_seed(2)
    near = vectors(centres, 0, min(SHARD_ROWS, options.vectors))[:: max(1, SHARD_ROWS // QUERIES)][:QUERIES]
    near = normalize(near + torch.randn(near.shape, generator=noise) * 0.5 / options.dimensions**0.5, dim=1)
    queries: list[Any] = [Embeddings(query[None]) for query in near]
    with TemporaryDirectory() as temporary:
        began = Clock.now()
        index = build(Path(temporary), centres, options.vectors)
        seconds = began.passed()
        took, best = search(index, queries, True, options.candidates)
        rows: list[list[object]] = [["exact", *seconds, *took, "100.0"]]
        for kind in options.faiss:
            began = Clock.now()
            approximate.build(index, "images", kind)
            seconds = began.passed()
            took, found = search(index, queries, False, options.candidates)
            recall = sum(len(a & b) for a, b in zip(found, best, strict=True)) / (K * len(queries))
            rows.append([kind, *seconds, *took, f"{100 * recall:.1f}"])
    threads = torch.get_num_threads()
    print(f"{options.vectors:,} vectors of {options.dimensions}, {threads} threads, {len(queries)} queries")
    print(tabulate(rows, headers=["search", "build s", "CPU s", "ms a query", "CPU ms", f"recall@{K} %"]))


if __name__ == "__main__":
    main()
