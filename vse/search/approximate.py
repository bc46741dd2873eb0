"""FAISS beside an index: approximate candidates by inner product, without comparing with every vector.

Johnson, Douze, Jégou, "Billion-scale similarity search with GPUs", IEEE Transactions on Big Data 2021.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError
from vse.extras import library
from vse.files import open_regular, write_atomically
from vse.search.store import Index, Side

Kind = Literal["flat", "ivfpq", "hnsw"]

TRAINED_ON = 262_144
"""Most vectors that IVF-PQ's centroids are learned from."""

TIED = 1e-6
"""Scores this close are equal: those of copies of a picture differ by rounding."""

QUERIES = 100
RECALL_AT = 10


def vectors_of(index: Index, side: Side) -> Tensor:
    """Return the vectors of a side, float32 [n, E].

    Raises:
        InputError: its encodings are no single vectors.
    """
    found = [getattr(shard.encoding(), "vectors", None) for shard in index.shards[side]]
    if not found or any(vectors is None for vectors in found):
        raise InputError(
            f"{index.folder}: the {side} have no vectors; FAISS needs one vector an item, leave --faiss out"
        )
    return torch.cat([vectors for vectors in found if vectors is not None])


def build(index: Index, side: Side, kind: Kind) -> float:
    """Write `{side}.faiss` for all vectors of a side -> recall@10 against exact search, in percent.

    Queries are 100 vectors of the other side, or of this one where there are none.

    Raises:
        InputError: FAISS is missing, no vectors, or too few for IVF-PQ.
    """
    faiss = library("faiss", "--faiss", "search")
    vectors = vectors_of(index, side).numpy()
    made = _new(faiss, kind, vectors)
    made.add(vectors)
    if kind == "ivfpq":
        made.nprobe = max(1, made.nlist // 16)
    write_atomically(
        index.folder / f"{side}.faiss",
        lambda file: faiss.write_index(made, faiss.PyCallbackIOWriter(file.write)),
    )
    index.approximate[side] = {"kind": kind, "rows": len(vectors), "dimensions": vectors.shape[1]}
    other: Side = "captions" if side == "images" else "images"
    queries = vectors_of(index, other).numpy() if index.rows(other) else vectors
    queries = np.ascontiguousarray(queries[np.linspace(0, len(queries) - 1, min(QUERIES, len(queries))).astype(int)])
    k = min(RECALL_AT, len(vectors))
    found = made.search(queries, k)[1]
    exact = torch.from_numpy(queries) @ torch.from_numpy(vectors).T
    worst = exact.topk(k).values[:, -1:] - TIED  # an equal of the k-th best is as good
    right = (exact.gather(1, torch.from_numpy(found).clamp(min=0)) >= worst) & torch.from_numpy(found >= 0)
    recall = 100 * float(right.float().mean())
    index.approximate[side]["recall_at_10"] = recall
    index.save()
    return recall


def _new(faiss: Any, kind: Kind, vectors: np.ndarray) -> Any:
    rows, size = vectors.shape
    if kind == "flat":
        return faiss.IndexFlatIP(size)
    if kind == "hnsw":
        made = faiss.IndexHNSWFlat(size, 32, faiss.METRIC_INNER_PRODUCT)
        made.hnsw.efSearch = 128
        return made
    if rows < 10_000:
        raise InputError(f"--faiss ivfpq: {rows} vectors; it learns from 10,000 or more, take flat or hnsw")
    parts = next(parts for parts in (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1) if size % parts == 0 and parts <= size)
    cells = min(int(4 * rows**0.5), rows // 39)
    made = faiss.IndexIVFPQ(faiss.IndexFlatIP(size), size, cells, parts, 8, faiss.METRIC_INNER_PRODUCT)
    chosen = np.linspace(0, rows - 1, min(rows, TRAINED_ON)).astype(int)
    made.train(np.ascontiguousarray(vectors[chosen]))
    return made


@lru_cache(maxsize=2)
def _open(path: str, stamp: int) -> Any:
    """Read a FAISS file once for all queries; `stamp` tells a file that was written anew."""
    return library("faiss", path, "search").read_index(path)


def candidates(index: Index, side: Side, query: Tensor, count: int) -> Tensor:
    """Find the rows of a side that FAISS takes for the best of a query [E] -> [at most count] int64, ascending.

    Raises:
        InputError: FAISS is missing, or the file is missing or damaged.
    """
    library("faiss", f"{index.folder}", "search")
    path = index.folder / f"{side}.faiss"
    try:
        with open_regular(path) as file:  # a pipe would be waited for
            made = _open(str(path), os.fstat(file.fileno()).st_mtime_ns)
        if made.ntotal != index.rows(side) or made.d != len(query):
            raise RuntimeError
    except (OSError, RuntimeError):
        raise InputError(f"{path}: missing or damaged; make it again with --faiss, or search with --exact") from None
    found = made.search(query[None].numpy(), min(count, made.ntotal))[1][0]
    return torch.from_numpy(np.sort(found[found >= 0]))
