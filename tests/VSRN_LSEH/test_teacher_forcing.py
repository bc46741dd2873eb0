"""True captions are read at once as they are read word by word, with the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from VSRN_LSEH.captioning import AttentionDecoder
from VSRN_LSEH.teacher_forcing import read_true_words

WORDS = torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]])


class Given(torch.nn.Module):
    """Dropout of known factors: none for words, then those of each step's contexts."""

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.kept, self.calls = kept, 0

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        return values if self.calls == 1 else values * self.kept[:, None, self.calls - 2]


@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 2])])
@pytest.mark.parametrize("dropped", [False, True])
def test_all_words_at_once_equal_word_by_word(lengths: Tensor | None, dropped: bool) -> None:
    torch.manual_seed(0)
    decoder = AttentionDecoder(vocab_size=9, size=5, dim_word=3, dropout=0.0).double()
    regions, start = (torch.randn(2, *shape, dtype=torch.float64).requires_grad_() for shape in ((3, 5), (5,)))
    kept = torch.tensor([0.0, 2.0], dtype=torch.float64)[torch.randint(2, (2, 4, 5))] if dropped else None
    if kept is not None:
        decoder.dropout = Given(kept)
    leaves = {"regions": regions, "start": start, **dict(decoder.named_parameters())}
    weights = torch.randn(2, 4, 5, dtype=torch.float64)

    def gradients(states: Tensor) -> dict[str, Tensor | None]:
        found = torch.autograd.grad((states * weights).sum(), list(leaves.values()), allow_unused=True)
        return dict(zip(leaves, found, strict=True))

    expected = decoder(WORDS, regions, start, lengths)
    decoder.dropout = torch.nn.Identity()
    memory = decoder.remember(regions, lengths)
    states = read_true_words(decoder.word_gates(WORDS), start, memory, decoder.attention.linear2.weight, kept)
    torch.testing.assert_close(states, expected, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(gradients(states), gradients(expected), atol=1e-12, rtol=1e-9)
