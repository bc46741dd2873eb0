"""Hubness corrections at test time: each item of the gallery is penalised by how close it is to queries in general.

The queries in general are a *bank* from the training split. With the test queries as the bank, the answer to a query
depends on the other queries: such numbers are transductive and not comparable with ordinary ones. A correction applies
to one direction of retrieval: it reorders the gallery for each query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vse.errors import InputError
from vse.evaluation.ranking import nearest

Bank = Callable[[], Iterable[Tensor]]
"""Each call gives the scores of all queries of the bank anew, in blocks [b, G]: a bank need not fit in memory."""

BLOCK_BYTES = 2**26


@dataclass(frozen=True)
class Correction:
    """Penalty of each item of a gallery, in units of the scores."""

    penalty: Tensor  # [G] float32
    hubs: Tensor | None = None  # [G] bool: only queries whose best item is one of these are corrected; None: all are

    def apply(self, scores: Tensor) -> Tensor:
        """Scores [Q, G] of the test queries -> corrected scores [Q, G]."""
        corrected = scores - self.penalty.to(scores)
        if self.hubs is not None:
            spared = ~self.hubs[nearest(scores, 1)[:, 0]]
            corrected[spared] = scores[spared]
        return corrected


def in_blocks(scores: Tensor) -> Bank:
    """Read a matrix [B, G] in blocks, as a bank."""
    rows = max(1, BLOCK_BYTES // max(1, scores.shape[1] * scores.element_size()))
    return lambda: scores.split(rows)


def csls(bank: Bank, k: int = 10) -> Correction:
    """Cross-domain similarity local scaling (Conneau et al., ICLR 2018): half the mean of an item's k best bank scores.

    The paper ranks by 2 s[q, g] - r(q) - r(g); r(q), the same for all items of a query, changes no ranking and is left
    out here, and the rest is halved.
    """
    return Correction(_mean_of_best(bank, k) / 2)


def nnn(bank: Bank, k: int = 128, weight: float = 0.75) -> Correction:
    """Nearest neighbour normalisation (Chowdhury et al., EMNLP 2024): `weight` times the mean of an item's k best."""
    return Correction(weight * _mean_of_best(bank, k))


def inverted_softmax(bank: Bank, temperature: float = 1 / 30) -> Correction:
    """Inverted softmax (Smith et al., ICLR 2017): exp(s[q, g] / t) over the sum of exp(s[b, g] / t) over the bank.

    Written in units of the scores: s[q, g] - t log sum over b of exp(s[b, g] / t), which ranks alike. The paper tunes
    t; tune it on dev.
    """
    return Correction((temperature * _log_sum_exp(bank, temperature)).float())


def qbnorm(bank: Bank, beta: float = 20.0, k: int = 1) -> Correction:
    """Querybank normalisation with the dynamic inverted softmax (Bogolin et al., CVPR 2022).

    The inverted softmax at temperature 1 / beta, for those queries alone whose best item is among the k best of any
    query of the bank.
    """
    correction = inverted_softmax(bank, 1 / beta)
    hubs = torch.zeros(len(correction.penalty), dtype=torch.bool, device=correction.penalty.device)
    for block in bank():
        hubs[nearest(block, min(k, block.shape[1])).flatten()] = True
    return Correction(correction.penalty, hubs)


def sinkhorn(bank: Bank, temperature: float = 0.05, iterations: int = 5) -> Correction:
    """Sinkhorn's balancing (Cuturi, NeurIPS 2013) of exp(s / t) between the bank and the gallery.

    Rows and columns are normalised in turn, `iterations` times; what a column has been divided by is the item's
    penalty. Without the rows it would be the inverted softmax.

    Raises:
        InputError: more than 1,000 iterations, each of which reads the whole bank.
    """
    if iterations > 1000:
        raise InputError(f"sinkhorn: iterations {iterations}; expected at most 1000, it converges in tens")
    log_divisor: Tensor | None = None
    for _ in range(iterations):
        total: Tensor | None = None
        for block in bank():
            logits = block.double() / temperature
            logits = logits if log_divisor is None else logits - log_divisor
            total = _add_exp(total, block.double() / temperature - logits.logsumexp(dim=1, keepdim=True))
        log_divisor = _filled(total)
    return Correction((temperature * _filled(log_divisor)).float())


CORRECTIONS: dict[str, Callable[..., Correction]] = {
    "csls": csls,
    "inverted_softmax": inverted_softmax,
    "qbnorm": qbnorm,
    "nnn": nnn,
    "sinkhorn": sinkhorn,
}
"""Name -> correction; the published constants are the defaults."""


def correct(scores: Tensor, bank: Tensor | Bank, name: str, **constants: Any) -> Tensor:
    """Correct the scores of test queries for the hubs of their gallery -> [Q, G], in units of the scores.

    Args:
        scores: [Q, G] of each test query (row) and item of the gallery: images in rows to find captions, the
            transpose to find images.
        bank: [B, G] scores of the bank's queries and the same gallery, or blocks of them.
        name: one of `CORRECTIONS`.
        constants: of that correction, where the published ones are not wanted.
    """
    blocks = in_blocks(bank) if isinstance(bank, Tensor) else bank
    return CORRECTIONS[name](blocks, **constants).apply(scores)


def _mean_of_best(bank: Bank, k: int) -> Tensor:
    """[G] mean of the k best bank scores of each item, of all where there are fewer."""
    best: Tensor | None = None
    for block in bank():
        together = block if best is None else torch.cat([best, block])
        best = together.topk(min(k, len(together)), dim=0, sorted=False).values
    return _filled(best).double().mean(dim=0).float()


def _log_sum_exp(bank: Bank, temperature: float) -> Tensor:
    """[G] float64, log of the sum over the bank of exp(s / temperature)."""
    total: Tensor | None = None
    for block in bank():
        total = _add_exp(total, block.double() / temperature)
    return _filled(total)


def _add_exp(total: Tensor | None, logits: Tensor) -> Tensor:
    """Add exp(logits [b, G]) to a sum that is kept as its logarithm [G]."""
    block = logits.logsumexp(dim=0)
    return block if total is None else torch.logaddexp(total, block)


def _filled(total: Tensor | None) -> Tensor:
    if total is None:
        raise InputError("the bank holds no queries; give one with rows")
    return total
