"""CRCL against its definition, and what it believes as training goes on."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from tests.losses.plain import RULES, assert_value, batches, queries, random_pairs, softmax
from vse.errors import InputError
from vse.losses import CRCL, Pairs


def plain_crcl(scores, images, rule: str, momentum: float) -> float:
    """The loss where every old belief is 1."""
    size, total, found = len(scores), 0.0, []
    for query, row, positives, negatives in queries(scores, images, rule):
        candidates = sorted(positives + negatives)
        values = softmax([row[other] / 0.05 for other in candidates])
        found.append((query, dict(zip(candidates, values, strict=True)), positives, negatives))
    right = [0.0] * size
    for query, p, positives, _ in found:
        right[query] += sum(p[other] for other in positives) / 2
    for query, p, positives, negatives in found:
        belief = momentum + (1 - momentum) * right[query]
        belief = 0.0 if belief < 0.1 else belief
        total -= belief * sum(math.log(p[other]) for other in positives) / len(positives)
        wrong, all_of_them = (sum(math.tan(p[other]) for other in some) for some in (negatives, p))
        total += 5 * wrong / all_of_them ** (1 - belief)
    return total / size


@pytest.mark.parametrize("momentum", [0.8, 0.0])
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(rule: str, momentum: float, batch):
    objective = CRCL(belief_epochs=0, momentum=momentum, same_image=rule)
    assert_value(objective, batch, plain_crcl(*batch[:2], rule, momentum))


def pair_of_beliefs() -> tuple[torch.Tensor, Pairs, float]:
    """Scores of two pairs, and what the network thinks of either: p = 1 / (1 + e^-2)."""
    scores = torch.tensor([[0.1, 0.0], [0.0, 0.1]])
    return scores, Pairs(torch.arange(2), torch.tensor([4, 9])), 1 / (1 + math.exp(-2))


def test_every_pair_is_believed_in_the_first_epochs():
    scores, pairs, p = pair_of_beliefs()
    objective = CRCL(belief_epochs=2)
    objective.start(20)
    objective.begin(0, 0, 10)
    objective(scores, pairs)
    assert (objective.beliefs.values == 1).all()
    objective.begin(1, 0, 10)
    first = objective(scores, pairs)
    assert first == CRCL()(scores, pairs)  # still at 1
    expected = torch.ones(20)
    expected[[4, 9]] = p
    torch.testing.assert_close(objective.beliefs.values, expected)


def test_belief_moves_towards_the_networks_own():
    scores, pairs, p = pair_of_beliefs()
    objective = CRCL(belief_epochs=2)
    objective.start(20)
    objective.begin(2, 0, 10)
    objective(scores, pairs)
    assert objective.beliefs.values[4].item() == pytest.approx(0.8 + 0.2 * p)
    objective(scores, pairs)
    assert objective.beliefs.values[9].item() == pytest.approx(0.64 + 0.36 * p)


def test_small_beliefs_are_zero_and_pull_nothing():
    objective = CRCL(belief_epochs=0, momentum=0.0, temperature=0.05)
    scores = torch.tensor([[0.0, 0.5], [0.5, 0.0]], requires_grad=True)
    objective(scores, Pairs(torch.arange(2), torch.arange(2)))
    assert (objective.beliefs.values == 0).all()


def test_a_doubtful_pair_is_pulled_less_than_a_believed_one():
    scores, pairs = random_pairs(4, seed=1)
    pairs.caption_ids = torch.arange(4)
    pulls = []
    for belief in (1.0, 0.2):
        objective = CRCL(momentum=1.0, belief_epochs=0, complementary_weight=0.0).double()
        objective.start(4)
        objective.beliefs.values[0] = belief
        leaf = scores.clone().requires_grad_()
        objective(leaf, pairs).backward()
        pulls.append(-leaf.grad[0, 0].item())
    assert pulls[1] == pytest.approx(0.2 * pulls[0])


def test_beliefs_are_saved_as_extra_state():
    objective = CRCL()
    objective.start(7)
    objective.beliefs.values[3] = 0.5
    other = CRCL()
    other.load_state_dict(objective.state_dict())
    assert torch.equal(other.beliefs.values, objective.beliefs.values)
    assert not list(other.buffers())


@pytest.mark.parametrize("constant", [{"temperature": 0.0}, {"momentum": 1.1}, {"belief_epochs": -1}])
def test_constants_out_of_range_are_refused(constant: dict):
    with pytest.raises(InputError, match=f"^{next(iter(constant))} .*expected"):
        CRCL(**constant)
