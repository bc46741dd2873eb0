"""What an objective may ask about the pairs is all that it reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.losses.banks import batch, filled
from tests.losses.plain import random_pairs
from tests.losses.variants import VARIANTS
from vse.losses import HAL, BankScores


@pytest.mark.parametrize("name", VARIANTS)
def test_an_objective_reads_only_what_it_says_it_needs(name: str) -> None:
    scores, pairs = random_pairs(5, seed=2, dtype=torch.float32)
    objective = VARIANTS[name]()
    if not objective.needs_descriptions:
        pairs = replace(pairs, descriptions=None)
    if not objective.needs_embeddings:
        pairs = replace(pairs, images=None, captions=None)
    assert torch.isfinite(objective(scores, pairs))


@pytest.mark.parametrize("weighting", ["published", "repaired"])
def test_rows_of_a_bank_that_are_minus_infinity_do_not_count(weighting: str) -> None:
    images, captions, pairs = batch(4)
    objective = HAL(memory_bank=True, global_weighting=weighting)  # type: ignore[arg-type]
    bank = filled().scores(images, captions, pairs)
    assert bank is not None
    excluded = torch.full((4, 7), -torch.inf, dtype=bank.images.dtype)
    longer = BankScores(torch.cat([bank.images, excluded], dim=1), torch.cat([excluded, bank.captions], dim=1))
    with_bank, with_more = (objective(images @ captions.T, replace(pairs, bank=scores)) for scores in (bank, longer))
    assert torch.equal(with_bank, with_more)
    assert not torch.equal(with_bank, objective(images @ captions.T, pairs))
