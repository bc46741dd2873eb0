"""What the generalised pooling operator promises beyond the published numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from VSEinfty_LSEH.pooling import GeneralisedPooling, descending, rank_encoding


def pooling_operator() -> GeneralisedPooling:
    torch.manual_seed(0)
    pooling = GeneralisedPooling().double()
    torch.nn.init.normal_(pooling.linear.weight)
    return pooling


def direct(pooling: GeneralisedPooling, features: Tensor, lengths: Tensor) -> Tensor:
    """The operator as it is usually written: the GRU runs for every sample, whole columns are sorted."""
    longest = int(lengths.max())
    ranks = rank_encoding(longest, pooling.position_size).to(features).expand(len(features), -1, -1)
    packed = pack_padded_sequence(ranks, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(torch.nn.GRU.forward(pooling.gru, packed)[0], batch_first=True)
    forward, backward = states.chunk(2, dim=2)
    outside = torch.arange(longest)[None, :, None] >= lengths[:, None, None]
    scores = pooling.linear((forward + backward) / 2).masked_fill(outside, -10000)
    weights = torch.softmax(scores / 0.1, dim=1)
    ranked = features[:, :longest].masked_fill(outside, -10000).sort(dim=1, descending=True).values
    return (ranked.masked_fill(outside, 0) * weights).sum(dim=1)


@pytest.mark.parametrize("lengths", [[5, 1, 7, 5, 2], [6] * 5, [1] * 5])
def test_value_and_gradients_are_those_of_the_direct_formulation(lengths: list[int]) -> None:
    pooling = pooling_operator()
    features = torch.randn(5, 8, 3, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(5, 3, dtype=torch.float64)
    wanted_and_ours = []
    for operator in (direct, GeneralisedPooling.forward):
        pooled = operator(pooling, features, torch.tensor(lengths))
        parameters = [features, *pooling.parameters()]
        wanted_and_ours.append([pooled, *torch.autograd.grad((pooled * upstream).sum(), parameters)])
    for wanted, ours in zip(*wanted_and_ours, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-12)


def test_weights_depend_on_the_number_of_features_only() -> None:
    weights = pooling_operator().weights(torch.tensor([4, 2, 4]))
    assert torch.equal(weights[0], weights[2])
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, dtype=torch.float64))
    assert not weights[1, 2:].any()


def test_what_lies_beyond_a_length_does_not_count() -> None:
    pooling, features = pooling_operator(), torch.randn(2, 6, 3, dtype=torch.float64)
    lengths = torch.tensor([4, 2])
    pooled = pooling(features, lengths)
    features[0, 4:], features[1, 2:] = 1e6, -1e6
    assert torch.equal(pooling(features, lengths), pooled)


def test_a_shuffled_set_pools_to_the_same_vector() -> None:
    pooling, features = pooling_operator(), torch.randn(1, 6, 3, dtype=torch.float64)
    lengths = torch.tensor([6])
    torch.testing.assert_close(pooling(features[:, torch.randperm(6)], lengths), pooling(features, lengths))


def test_average_and_maximum_pooling_are_special_cases() -> None:
    pooling, features = pooling_operator(), torch.randn(2, 6, 3, dtype=torch.float64)
    lengths = torch.tensor([6, 6])
    torch.nn.init.zeros_(pooling.linear.weight)
    torch.testing.assert_close(pooling(features, lengths), features.mean(dim=1))
    pooling.weights = lambda _lengths, _longest: torch.eye(6, dtype=torch.float64)[[0, 0]]  # type: ignore[method-assign]
    torch.testing.assert_close(pooling(features, lengths), features.amax(dim=1))


def test_descending_gives_the_places_of_a_sort() -> None:
    values = torch.randn(3, 4, 9)
    assert torch.equal(values.gather(2, descending(values)), values.sort(dim=2, descending=True).values)


def test_weights_stay_float32_under_autocast() -> None:
    pooling = pooling_operator().float()
    lengths = torch.tensor([4, 2])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pooling.weights(lengths), pooling.weights(lengths).float())
        inside = pooling.weights(lengths)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, pooling.weights(lengths))
