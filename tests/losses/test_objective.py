"""What every objective promises: exact gradients, edges, the rule for captions of one image, the filter."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from tests.losses.plain import random_pairs
from tests.losses.variants import VARIANTS
from vse.errors import InputError
from vse.losses import CRCL, DCL, HAL, LSEH, OBJECTIVES, Gist, MaxHinge, NeighborRetr, Objective, Pairs, SigLIP

COST_WITHOUT_NEGATIVES = (HAL, SigLIP)
"""They pull a pair that stands alone."""
NO_SYMMETRY = ("lseh_max", "lseh_sum", "lseh_self", "neighbor_retr", "neighbor_retr_two")
"""Row normalisation of the descriptions, or embeddings and a plan that begins with rows."""
READ_MEANING = (*(name for name in VARIANTS if name.startswith(("lseh", "sam"))), "soft_labels")
"""Their values change with the descriptions, filtered or not."""


def fresh(objective: Objective, scores: Tensor, pairs: Pairs) -> Tensor:
    """The loss of a copy, so that what an objective remembers stays as it was."""
    loss: Tensor = deepcopy(objective)(scores, pairs)
    return loss


def test_every_objective_has_a_variant_here():
    assert {type(build()) for build in VARIANTS.values()} == set(OBJECTIVES.values())


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_is_that_of_the_value(name: str, size: int):
    scores, pairs = random_pairs(size, seed=size)
    rule = {"same_image": "ignore"} if name == "tal" else {}  # the weights of several positives have no gradient
    objective = VARIANTS[name](**rule).double()
    if name.startswith("neighbor_retr"):  # the plan has no gradient
        objective.plan_weight = 0.0
    if name == "crcl_doubtful":  # beliefs are computed from the scores without gradient
        objective.beliefs.resize(50)
        objective.momentum = 1.0
        objective.beliefs.values.fill_(0.6)
    assert torch.autograd.gradcheck(lambda s: fresh(objective, s, pairs), scores.requires_grad_())


@pytest.mark.parametrize("name", VARIANTS)
def test_sparse_gradient_means_at_most_three_scores_a_pair(name: str):
    objective = VARIANTS[name]()
    scores, pairs = random_pairs(32, seed=1, dtype=torch.float32)
    scores.requires_grad_()
    objective(scores, pairs).backward()
    touched = int((scores.grad != 0).sum())
    assert objective.sparse_gradient == (touched <= 3 * 32)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_of_one_is_legal(name: str):
    scores = torch.tensor([[0.3]], requires_grad=True)
    one, vector = torch.zeros(1, dtype=torch.int64), torch.ones(1, 4)
    objective = VARIANTS[name]()
    loss = objective(scores, Pairs(one, one, torch.zeros(1, 4), images=vector, captions=vector))
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    if not isinstance(objective, COST_WITHOUT_NEGATIVES):
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert (scores.grad == 0).all()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("fill", [-1.0, 0.0, 1.0, 1e4, -1e4])
def test_equal_scores_give_finite_values_and_gradients(name: str, fill: float):
    scores = torch.full((6, 6), fill, requires_grad=True)
    ids, vectors = torch.arange(6), torch.ones(6, 2)
    loss = VARIANTS[name]()(scores, Pairs(ids, ids, torch.zeros(6, 4), images=vectors, captions=vectors))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("positive", [-1.0, 1.0])
def test_float32_holds_the_extremes_of_cosines(name: str, positive: float):
    exact = torch.full((512, 512), -positive, dtype=torch.float64).fill_diagonal_(positive)
    ids = torch.arange(512)
    values = []
    for scores in (exact, exact.float()):
        leaf, vectors = scores.clone().requires_grad_(), torch.ones(512, 4, dtype=scores.dtype)
        loss = VARIANTS[name]().to(scores.dtype)(leaf, Pairs(ids, ids, vectors, images=vectors, captions=vectors))
        loss.backward()
        assert torch.isfinite(leaf.grad).all()
        values.append(loss.item())
    assert values[1] == pytest.approx(values[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("rule", ["negative", "ignore", "positive"])
@pytest.mark.parametrize("name", VARIANTS)
def test_one_image_repeated_throughout_is_legal(name: str, rule: str):
    scores = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)).requires_grad_()
    vectors = torch.ones(5, 4)
    pairs = Pairs(torch.zeros(5, dtype=torch.int64), torch.arange(5), vectors, images=vectors, captions=vectors)
    loss = VARIANTS[name](same_image=rule)(scores, pairs)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_all_rules_agree_where_no_image_repeats(name: str):
    scores, pairs = random_pairs(6, seed=8)
    pairs.image_ids = torch.arange(6)
    rules = ("negative", "ignore", "positive", *(["zero_margin"] if name.startswith("lseh") else []))
    values = [VARIANTS[name](same_image=rule).double()(scores, pairs).item() for rule in rules]
    assert values == pytest.approx([values[0]] * len(rules), rel=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_directions_add_up_to_the_loss(name: str):
    scores, pairs = random_pairs(6, seed=4, dtype=torch.float32)
    objective = VARIANTS[name]()
    image_to_text, text_to_image = deepcopy(objective).directions(scores, pairs)
    assert torch.equal(image_to_text + text_to_image, fresh(objective, scores, pairs))


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - set(NO_SYMMETRY)))
def test_transposed_scores_swap_the_directions(name: str):
    scores, pairs = random_pairs(6, seed=5)
    objective = VARIANTS[name]().double()
    forth, back = deepcopy(objective).directions(scores, pairs), objective.directions(scores.T, pairs)
    torch.testing.assert_close(torch.stack(forth), torch.stack(back[::-1]))


def test_descriptions_get_no_gradient():
    scores, pairs = random_pairs(4, seed=2)
    pairs.descriptions.requires_grad_()
    for name in ("lseh_max", "sam_sum", "soft_labels"):
        loss = VARIANTS[name]().double()(scores, pairs)
        assert not loss.requires_grad or torch.autograd.grad(loss, pairs.descriptions, allow_unused=True)[0] is None


# --- the filter of false negatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_filter_of_infinite_threshold_drops_nothing(name: str):
    scores, pairs = random_pairs(5, seed=9)
    plain = fresh(VARIANTS[name]().double(), scores, pairs)
    none = VARIANTS[name](false_negatives=Gist(ratio=float("inf"))).double()
    assert none.needs_descriptions
    assert fresh(none, scores, pairs) == plain


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - set(READ_MEANING)))
def test_filter_takes_a_paraphrase_out_of_the_negatives(name: str):
    """A paraphrase is treated as a caption of the same image that is ignored."""
    scores, pairs = random_pairs(5, seed=10)
    pairs.image_ids = torch.arange(5)
    pairs.descriptions = torch.eye(5, dtype=torch.float64)
    pairs.descriptions[1] = pairs.descriptions[0]
    filtered = VARIANTS[name](false_negatives=Gist()).double()(scores, pairs)
    pairs.image_ids = torch.tensor([0, 0, 2, 3, 4])
    assert filtered.item() == pytest.approx(VARIANTS[name](same_image="ignore").double()(scores, pairs).item())


# --- constants, representation, refusals -----------------------------------------------------------------------------


def test_representation_shows_numbers_and_choices():
    assert repr(MaxHinge()) == "MaxHinge(margin=0.2)"
    assert repr(LSEH(max_violation=True)) == "LSEH(margin=0.185, semantic_weight=0.025, max_violation=True)"
    assert repr(MaxHinge(same_image="ignore", false_negatives=Gist())) == (
        "MaxHinge(margin=0.2, same_image='ignore', false_negatives=Gist(margin=0.05, ratio=None))"
    )


def test_zero_margin_is_a_rule_of_lseh_alone():
    with pytest.raises(InputError, match=r"^same_image zero_margin: expected one of negative, ignore, positive"):
        MaxHinge(same_image="zero_margin")


def test_learned_parameters_are_saved_and_loaded():
    for kind in (DCL, SigLIP):
        objective = kind()
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter += 1
        other = kind()
        other.load_state_dict(objective.state_dict())
        assert [p.item() for p in other.parameters()] == [p.item() for p in objective.parameters()]


def test_what_is_remembered_is_saved_and_loaded():
    scores, pairs = random_pairs(4, seed=3)
    for build in (NeighborRetr, lambda: CRCL(belief_epochs=0)):
        objective, other = build().double(), build().double()
        objective(scores, pairs)
        other.load_state_dict(objective.state_dict())
        assert other(scores, pairs) == objective(scores, pairs)
