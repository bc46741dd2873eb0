"""The encoders that several networks share."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vse.nn import recurrence
from vse.nn.encoders import (
    NORM_EPSILON,
    CaptionEmbedding,
    CaptionGRU,
    ImageProjection,
    RegionProjection,
    WordStates,
    l2norm,
    last_states,
    order_similarity,
    xavier_uniform_linear,
)

LENGTHS = torch.tensor([2, 4, 1])
CAPTIONS = torch.tensor([[5, 6, 0, 0], [1, 2, 3, 4], [7, 0, 0, 0]])


def test_l2norm_adds_eps_to_the_norm() -> None:
    x = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(l2norm(x, eps=1.0), x / 6)
    torch.testing.assert_close(l2norm(x, dim=0), torch.ones(1, 2))


def test_l2norm_of_zero_is_zero_with_a_finite_gradient() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    l2norm(x, eps=NORM_EPSILON).sum().backward()
    assert x.grad is not None
    assert (x.grad == 1).all()
    assert not l2norm(x).any()


def test_linear_layers_start_glorot_uniform_without_bias() -> None:
    layer = xavier_uniform_linear(nn.Linear(200, 100))
    bound = math.sqrt(6 / 300)
    assert bound * 0.95 < float(layer.weight.detach().abs().max()) <= bound
    assert not layer.bias.any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_captions_states_do_not_depend_on_its_batch(bidirectional: bool) -> None:
    gru = CaptionGRU(8, 3, 5, bidirectional=bidirectional)
    states = gru(CAPTIONS, LENGTHS)
    assert states.shape == (3, 4, 5)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = gru(CAPTIONS[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(states[row, :length], alone[0])
        assert not states[row, length:].any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_words_read_once_give_the_states_of_their_vectors(bidirectional: bool) -> None:
    gru = CaptionGRU(8, 3, 5, num_layers=2, bidirectional=bidirectional)
    states = recurrence.pad(gru.rnn(recurrence.pack(gru.embed(CAPTIONS), LENGTHS))[0], 4)
    wanted = states.unflatten(-1, (2, -1)).mean(-2) if bidirectional else states
    torch.testing.assert_close(gru(CAPTIONS, LENGTHS), wanted)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(("dropout", "training", "products"), [(0, True, 3), (0.4, False, 3), (0.4, True, 7)])
def test_a_word_is_multiplied_once_a_batch_unless_it_is_dropped(
    monkeypatch: pytest.MonkeyPatch, grad: bool, dropout: float, training: bool, products: int
) -> None:
    rows, product = [], recurrence.linear
    monkeypatch.setattr(recurrence, "linear", lambda inputs, *rest: rows.append(len(inputs)) or product(inputs, *rest))
    gru = CaptionGRU(8, 3, 5, dropout=dropout).train(training)
    with torch.set_grad_enabled(grad):
        gru(torch.tensor([[5, 6, 5, 5], [6, 5, 1, 0]]), torch.tensor([4, 3]))
    assert rows == ([products] if grad or products == 3 else [])  # torch's own GRU where neither holds


def test_dropout_without_gradients_differs_between_occurrences_of_a_word() -> None:
    torch.manual_seed(0)
    gru, words = CaptionGRU(8, 30, 5, dropout=0.5).train(), torch.ones(2, 1, dtype=torch.long)
    with torch.no_grad():
        first, second = gru(words, torch.tensor([1, 1]))
    assert not torch.equal(first, second)


def test_both_directions_are_averaged() -> None:
    gru = CaptionGRU(8, 3, 5, bidirectional=True)
    own, _ = gru.rnn(gru.embed(CAPTIONS[1:2]))
    torch.testing.assert_close(gru(CAPTIONS[1:2], LENGTHS[1:2]), (own[..., :5] + own[..., 5:]) / 2)


def test_word_vectors_start_between_minus_and_plus_a_tenth() -> None:
    weight = CaptionGRU(500, 20, 4).embed.weight
    assert 0.099 < float(weight.detach().abs().max()) <= 0.1


def test_last_states_are_those_of_the_last_tokens() -> None:
    states = torch.arange(3 * 4 * 1.0).view(3, 4, 1)
    assert last_states(states, LENGTHS).flatten().tolist() == [1, 7, 8]


def test_words_and_regions_are_unit_vectors_if_asked() -> None:
    words = WordStates(8, 3, 5)(CAPTIONS, LENGTHS).norm(dim=-1)
    torch.testing.assert_close(words, (torch.arange(4) < LENGTHS[:, None]).float())
    regions = torch.randn(2, 3, 6)
    torch.testing.assert_close(RegionProjection(6, 5)(regions).norm(dim=-1), torch.ones(2, 3))
    plain = RegionProjection(6, 5, normalise=False)
    torch.testing.assert_close(plain(regions), plain.fc(regions))


def test_regions_of_an_image_are_flattened() -> None:
    projection = ImageProjection(6, 4)
    regions = torch.randn(2, 3, 2)
    torch.testing.assert_close(projection(regions), projection(regions.flatten(1)))
    torch.testing.assert_close(projection(regions).norm(dim=1), torch.ones(2))


def test_absolute_values_follow_the_normalisation() -> None:
    embeddings = ImageProjection(6, 4, absolute=True)(torch.randn(5, 6))
    assert (embeddings >= 0).all()
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))
    captions = CaptionEmbedding(8, 3, 5, absolute=True)(CAPTIONS, LENGTHS)
    assert (captions >= 0).all()


def test_a_caption_is_its_last_state_normalised() -> None:
    encoder = CaptionEmbedding(8, 3, 5)
    states = CaptionGRU.forward(encoder, CAPTIONS, LENGTHS)
    torch.testing.assert_close(encoder(CAPTIONS, LENGTHS), l2norm(last_states(states, LENGTHS)))


def violations(images: Tensor, captions: Tensor) -> Tensor:
    return torch.stack([torch.stack([-(c - i).clamp(min=0).square().sum().sqrt() for c in captions]) for i in images])


@pytest.mark.parametrize("block_bytes", [1, 200, 2**26])
def test_order_similarity_is_the_violation_for_any_block(block_bytes: int) -> None:
    images, captions = torch.rand(5, 4), torch.rand(3, 4)
    torch.testing.assert_close(order_similarity(images, captions, block_bytes), violations(images, captions))


def test_a_pair_in_order_scores_zero_with_a_zero_gradient() -> None:
    images = torch.ones(1, 4, requires_grad=True)
    score = order_similarity(images, torch.full((1, 4), 0.5))
    score.sum().backward()
    assert score.item() == 0
    assert images.grad is not None
    assert not images.grad.any()
