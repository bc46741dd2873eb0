"""Hubness corrections equal their published formulas, written out in NumPy, whatever the blocks of the bank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vse.errors import InputError
from vse.evaluation.corrections import CORRECTIONS, Bank, correct, in_blocks

GENERATOR = np.random.default_rng(0)
SCORES = GENERATOR.uniform(-1, 1, (9, 12))
BANK = GENERATOR.uniform(-1, 1, (31, 12))


def csls(k: int = 10) -> np.ndarray:
    gallery = np.sort(BANK, axis=0)[-k:].mean(axis=0)
    query = np.sort(SCORES, axis=1)[:, -k:].mean(axis=1, keepdims=True)
    return 2 * SCORES - query - gallery


def inverted_softmax(temperature: float = 1 / 30) -> np.ndarray:
    return np.exp(SCORES / temperature) / np.exp(BANK / temperature).sum(axis=0)


def qbnorm(beta: float = 20.0, k: int = 1) -> np.ndarray:
    hubs = np.unique(np.argsort(-BANK, axis=1)[:, :k])
    corrected = np.exp(beta * SCORES) / np.exp(beta * BANK).sum(axis=0)
    active = np.isin(SCORES.argmax(axis=1), hubs)
    return np.where(active[:, None], corrected, SCORES)


def nnn(k: int = 128, weight: float = 0.75) -> np.ndarray:
    return SCORES - weight * np.sort(BANK, axis=0)[-k:].mean(axis=0)


def sinkhorn(temperature: float = 0.05, iterations: int = 5) -> np.ndarray:
    kernel = np.exp(BANK / temperature)
    columns = np.ones(kernel.shape[1])
    for _ in range(iterations):
        rows = 1 / (kernel @ columns)
        columns = 1 / (rows @ kernel)
    return np.exp(SCORES / temperature) * columns


WRITTEN_OUT: dict[str, Callable[..., np.ndarray]] = {
    "csls": csls,
    "inverted_softmax": inverted_softmax,
    "qbnorm": qbnorm,
    "nnn": nnn,
    "sinkhorn": sinkhorn,
}


def ranking(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")


def corrected(name: str, bank: torch.Tensor | Bank, **constants: float) -> np.ndarray:
    return correct(torch.from_numpy(SCORES), bank, name, **constants).numpy()


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_correction_ranks_as_its_published_formula(name: str) -> None:
    assert not np.array_equal(ranking(WRITTEN_OUT[name]()), ranking(SCORES))
    assert np.array_equal(ranking(corrected(name, torch.from_numpy(BANK))), ranking(WRITTEN_OUT[name]()))


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("csls", {"k": 3}),
        ("inverted_softmax", {"temperature": 0.5}),
        ("qbnorm", {"beta": 3.0, "k": 2}),
        ("nnn", {"k": 2, "weight": 0.4}),
        ("sinkhorn", {"temperature": 0.3, "iterations": 40}),
    ],
)
def test_constants_have_their_published_meaning(name: str, constants: dict[str, float]) -> None:
    expected = WRITTEN_OUT[name](**constants)
    assert np.array_equal(ranking(corrected(name, torch.from_numpy(BANK), **constants)), ranking(expected))


@pytest.mark.parametrize("name", CORRECTIONS)
@pytest.mark.parametrize("rows", [1, 4, 30])
def test_the_blocks_of_a_bank_do_not_change_the_correction(name: str, rows: int) -> None:
    whole = corrected(name, torch.from_numpy(BANK))
    blocks = corrected(name, lambda: torch.from_numpy(BANK).split(rows))
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_a_matrix_is_cut_into_blocks_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vse.evaluation.corrections.BLOCK_BYTES", 12 * 8 * 5)
    assert [len(block) for block in in_blocks(torch.from_numpy(BANK))()] == [5, 5, 5, 5, 5, 5, 1]


def test_csls_pulls_a_hub_down() -> None:
    scores = torch.tensor([[0.9, 0.8], [0.9, 0.1]])  # item 0 is near to every query
    bank = torch.tensor([[0.9, 0.1], [0.9, 0.2], [0.9, 0.1]])
    assert correct(scores, bank, "csls", k=2).argmax(dim=1).tolist() == [1, 0]


def test_qbnorm_leaves_queries_alone_whose_best_item_is_no_hub() -> None:
    scores = torch.tensor([[0.9, 0.8], [0.1, 0.2]])
    bank = torch.tensor([[0.9, 0.1]])  # item 0 is the hub
    result = correct(scores, bank, "qbnorm")
    assert torch.equal(result[1], scores[1])
    assert not torch.equal(result[0], scores[0])


def test_one_sinkhorn_iteration_is_the_inverted_softmax() -> None:
    flat = torch.tensor(BANK - np.log(np.exp(BANK / 0.05).sum(axis=1, keepdims=True)) * 0.05)  # rows sum to one
    sinkhorn = correct(torch.from_numpy(SCORES), flat, "sinkhorn", iterations=1, temperature=0.05)
    inverted = correct(torch.from_numpy(SCORES), flat, "inverted_softmax", temperature=0.05)
    torch.testing.assert_close(sinkhorn, inverted, atol=1e-6, rtol=0)


def test_endless_iterations_are_refused() -> None:
    with pytest.raises(InputError, match="sinkhorn: iterations 1000000000; expected at most 1000"):
        CORRECTIONS["sinkhorn"](in_blocks(torch.rand(3, 4)), iterations=10**9)
