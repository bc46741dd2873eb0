"""The GRU with one weight-gradient product is torch.nn.GRU in everything but time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vse.nn.recurrence import GRU, pack, pad

LENGTHS = torch.tensor([3, 9, 1, 4, 4, 7])


def outputs_and_gradients(rnn: nn.GRU, packed: bool) -> list[Tensor]:
    inputs = torch.randn(6, 9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    if packed:
        states, last = rnn(pack_padded_sequence(inputs, LENGTHS, batch_first=True, enforce_sorted=False))
        states = pad_packed_sequence(states, batch_first=True)[0]
    else:
        states, last = rnn(inputs)
    loss = (states * states).sum() + last.sin().sum()
    return [states, last, *torch.autograd.grad(loss, [inputs, *rnn.parameters()])]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_outputs_and_gradients_are_those_of_torch(layers: int, packed: bool, both: bool) -> None:
    torch.manual_seed(0)
    theirs, ours = (kind(5, 4, layers, batch_first=True, bidirectional=both).double() for kind in (nn.GRU, GRU))
    ours.load_state_dict(theirs.state_dict())
    assert any("Recurrence" in str(node) for node in graph(ours(torch.randn(2, 3, 5).double())[0]))
    for mine, wanted in zip(outputs_and_gradients(ours, packed), outputs_and_gradients(theirs, packed), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_words_are_read_as_torch_reads_their_vectors(layers: int, both: bool, sort: bool) -> None:
    torch.manual_seed(0)
    theirs, ours = (kind(5, 4, layers, batch_first=True, bidirectional=both).double() for kind in (nn.GRU, GRU))
    ours.load_state_dict(theirs.state_dict())
    embed, words = nn.Embedding(7, 5).double(), torch.randint(7, (6, 9))
    lengths = LENGTHS.sort(descending=True).values if sort else LENGTHS
    found = []
    for rnn, states in (
        (ours, ours.read_words(pack(words, lengths), embed)),
        (theirs, theirs(pack_padded_sequence(embed(words), lengths, batch_first=True, enforce_sorted=False))[0]),
    ):
        padded = pad_packed_sequence(states, batch_first=True)[0]
        found.append([padded, *torch.autograd.grad(padded.square().sum(), [embed.weight, *rnn.parameters()])])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        states = pad_packed_sequence(ours.read_words(pack(words, lengths), embed), batch_first=True)[0]
    torch.testing.assert_close(states, found[0][0], rtol=1e-10, atol=1e-12)


def graph(result: Tensor) -> list[object]:
    """Names of all operations that autograd will go back through."""
    names, pending = [], [result.grad_fn]
    while pending:
        node = pending.pop()
        names.append(node.name())
        pending += [parent for parent, _ in node.next_functions if parent is not None]
    return names


@pytest.mark.parametrize("sort", [False, True])
def test_padding_is_that_of_torch(sort: bool) -> None:
    inputs = torch.randn(6, 9, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    lengths = LENGTHS.sort(descending=True).values if sort else LENGTHS
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=sort)
    mine, wanted = pad(packed, 11), pad_packed_sequence(packed, batch_first=True, total_length=11)[0]
    assert torch.equal(mine, wanted)
    weights = torch.randn(6, 11, 5)
    gradients = [
        torch.autograd.grad((states * weights).sum(), inputs, retain_graph=True)[0] for states in (mine, wanted)
    ]
    assert torch.equal(*gradients)


def test_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    rnn = GRU(3, 2, batch_first=True).double()
    inputs = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: rnn(x), (inputs, *rnn.parameters()))


@pytest.mark.parametrize("options", [{"batch_first": False}, {"bias": False}])
def test_what_is_not_covered_is_left_to_torch(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    theirs, ours = (kind(5, 4, **{"batch_first": True, **options}) for kind in (nn.GRU, GRU))
    ours.load_state_dict(theirs.state_dict())
    inputs, start = torch.randn(3, 6, 5), torch.randn(1, 3, 4)
    if options.get("batch_first", True):
        assert torch.equal(ours(inputs, start)[0], theirs(inputs, start)[0])
    assert torch.equal(ours(inputs)[0], theirs(inputs)[0])


def test_evaluation_is_left_to_torch() -> None:
    torch.manual_seed(0)
    theirs, ours = nn.GRU(5, 4, batch_first=True), GRU(5, 4, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(3, 6, 5)
    with torch.no_grad():
        assert torch.equal(ours(inputs)[0], theirs(inputs)[0])
