"""Find the best items of an index for an encoded query: exactly, or among the candidates of a cheaper comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vse.errors import InputError
from vse.evaluation.scoring import assemble
from vse.inference.model import Model
from vse.nn.network import Encoding
from vse.search.approximate import candidates as faiss_candidates
from vse.search.store import Index, Item, Side

Score = Callable[[Encoding], Tensor]
"""Encodings of n items -> scores [n]."""


class Hit(NamedTuple):
    """An item that was found."""

    item: Item
    score: float


class Answer(NamedTuple):
    """The best items, best first, and how they were found."""

    hits: list[Hit]
    how: str


def find(
    model: Model,
    index: Index,
    side: Side,
    query: Encoding,
    query_side: Side,
    k: int = 10,
    candidates: int = 200,
    exact: bool = False,
) -> Answer:
    """Find the best `k` items of a side for one query; of equal scores the earlier row comes first.

    A query of the other side is scored by the network, one of the same side by the cosine of their vectors.

    Args:
        candidates: items that are scored where a cheaper comparison chooses them.
        exact: score every item.

    Raises:
        InputError: the side is empty, or has no vectors to compare with a query of the same side.
    """
    if not index.rows(side):
        raise InputError(f"{index.folder}: holds no {side}; index some, or search the other side")
    for shard in index.shards[side]:
        shard.check_vectors(query)
    if side == query_side:
        return Answer(_best(index, side, _cosine(index, query), k), f"cosine of {side} with {query_side[:-1]}")

    def score(encoding: Encoding) -> Tensor:
        pair = (encoding, query) if side == "images" else (query, encoding)
        return model.score(*pair).flatten()

    cheap = getattr(query, "vectors", None)
    more = index.rows(side) > max(candidates, k)
    if exact or not more or cheap is None or (not model.pairwise and side not in index.approximate):
        return Answer(_best(index, side, score, k), "every item scored")
    if side in index.approximate:
        kind = index.approximate[side]["kind"]
        rows, by = faiss_candidates(index, side, cheap[0], max(candidates, k)), f"FAISS {kind}"
    else:
        rows = torch.tensor([row for row, _ in _ranked(index, side, _cosine(index, query), max(candidates, k))])
        rows, by = rows.sort().values, "the cosine of global vectors"
    some = _rows(index, side, rows)
    scores = score(some)
    places = _order(scores, k)
    items = index.items_at(side, rows[places].tolist())
    hits = [Hit(item, value) for item, value in zip(items, scores[places].tolist(), strict=True)]
    return Answer(hits, f"{len(rows)} of {index.rows(side)} {side} scored, candidates by {by}")


def _cosine(index: Index, query: Encoding) -> Score:
    vectors = getattr(query, "vectors", None)
    if vectors is None:
        raise InputError(
            f"{index.folder}: this network has no vector an item, so that only images and captions can be compared; "
            "search the other side"
        )
    unit = normalize(vectors[0], dim=0)
    return lambda encoding: normalize(encoding.vectors, dim=1) @ unit  # type: ignore[attr-defined]


def _best(index: Index, side: Side, score: Score, k: int) -> list[Hit]:
    ranked = _ranked(index, side, score, k)
    items = index.items_at(side, [row for row, _ in ranked])
    return [Hit(item, value) for item, (_, value) in zip(items, ranked, strict=True)]


def _ranked(index: Index, side: Side, score: Score, k: int) -> list[tuple[int, float]]:
    """Rank the rows of a side, a shard at a time -> the best k with their scores."""
    best: list[tuple[int, float]] = []
    first = 0
    for shard in index.shards[side]:
        scores = score(shard.encoding())
        if scores.isnan().any():
            raise InputError(f"{shard.folder / shard.name}: holds NaN or infinity; make the index again")
        best += [(first + row, float(scores[row])) for row in _order(scores, k).tolist()]
        best = sorted(best, key=lambda entry: (-entry[1], entry[0]))[:k]
        first += shard.rows
    return best


def _order(scores: Tensor, k: int | None = None) -> Tensor:
    """Return the places of the best k scores [n], best first; of equal scores the earlier place comes first."""
    if k is not None and k < len(scores):
        # All that tie with the k-th best are sorted with it.
        places = (scores >= scores.topk(k).values[-1]).nonzero()[:, 0]
        return places[scores[places].argsort(descending=True, stable=True)][:k]
    return scores.argsort(descending=True, stable=True)


def _rows(index: Index, side: Side, rows: Tensor) -> Encoding:
    """Read the encodings of rows in ascending order."""
    parts: list[Encoding] = []
    first = 0
    for shard in index.shards[side]:
        inside = rows[(rows >= first) & (rows < first + shard.rows)] - first
        if len(inside):
            parts.append(shard.encoding().rows(inside))
        first += shard.rows
    places = torch.arange(len(rows)).split([len(part) for part in parts])
    return assemble(list(places), parts)
