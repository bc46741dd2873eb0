"""A generous memory budget does not ask for more words at once than the scratch memory holds."""

from __future__ import annotations

import torch

from SGRAF_LSEH.model import SGRAF
from vse.data.batches import PairBatch


def test_training_scores_do_not_depend_on_the_budget() -> None:
    torch.manual_seed(0)
    pairs, words = 48, 30
    lengths = torch.full((pairs,), words)
    numbers = torch.arange(pairs)
    batch = PairBatch(
        images=torch.randn(pairs, 3, 8),
        captions=torch.randint(4, 60, (pairs, words)),
        lengths=lengths,
        image_ids=numbers,
        caption_ids=numbers,
    )
    scores = []
    for budget in (2**24, 2**31):
        torch.manual_seed(1)
        network = SGRAF("SAF", 60, 3, 8, 8, 64, 8, memory_budget=budget)
        torch.manual_seed(2)  # dropout
        scores.append(network.similarity(network.encode_images(batch), network.encode_captions(batch)))
        scores[-1].sum().backward()
    torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-5)
