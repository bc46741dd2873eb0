"""Every objective against its definition in plain Python, its gradient in float64, and at the edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vse.errors import InputError
from vse.losses import HAL, LSEH, LUWM, OBJECTIVES, SAM, InfoNCE, MaxHinge, Objective, Pairs, SoftMargin, SumHinge

Matrix = list[list[float]]

VARIANTS: dict[str, Callable[[], Objective]] = {
    "sum_hinge": SumHinge,
    "max_hinge": MaxHinge,
    "lseh_max": lambda: LSEH(max_violation=True),
    "lseh_sum": LSEH,
    "lseh_exclude": lambda: LSEH(same_image="ignore", semantic_normalise="cosine"),
    "lseh_self": lambda: LSEH(same_image="negative", semantic_normalise="self", semantic_symmetrise=True),
    "luwm": LUWM,
    "hal_coco": HAL,
    "hal_f30k": lambda: HAL(60.0, 0.7),
    "hal_repaired": lambda: HAL(positive_term="repaired"),
    "infonce": InfoNCE,
    "soft_margin_max": lambda: SoftMargin(max_violation=True),
    "soft_margin_sum": SoftMargin,
    "sam_max": lambda: SAM(max_violation=True),
    "sam_sum": SAM,
}


def random_pairs(size: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Pairs]:
    """Scores without ties, a repeated image and a zero description where there is room for them."""
    scores = torch.rand(size, size, generator=generator, dtype=dtype) * 2 - 1
    image_ids = torch.arange(size)
    descriptions = torch.randn(size, 4, generator=generator, dtype=dtype)
    if size > 2:
        image_ids[1] = image_ids[0]
        descriptions[2] = 0
    return scores, Pairs(image_ids, torch.arange(size) * 5, descriptions)


# --- definitions in plain Python -------------------------------------------------------------------------------------


def hinge_sums(scores: Matrix, margins: Callable[[int, int], float | None], hardest: bool) -> float:
    """margins(i, j) of image i and caption j; None: no negative."""
    size, total = len(scores), 0.0
    for query in range(size):
        rows, columns = [0.0], [0.0]
        for other in range(size):
            if other == query:
                continue
            if (margin := margins(query, other)) is not None:
                rows.append(max(0.0, margin + scores[query][other] - scores[query][query]))
            if (margin := margins(other, query)) is not None:
                columns.append(max(0.0, margin + scores[other][query] - scores[query][query]))
        total += max(rows) + max(columns) if hardest else sum(rows) + sum(columns)
    return total


def inner(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def plain_lseh(scores: Matrix, images: list[int], vectors: Matrix, hardest: bool) -> float:
    def margin(i: int, j: int) -> float:
        if images[i] == images[j]:
            return 0.0
        largest = max(inner(vectors[i], vector) for vector in vectors)
        return 0.185 + 0.025 * (inner(vectors[i], vectors[j]) / largest if largest else 0.0)

    return hinge_sums(scores, margin, hardest)


def plain_sam(scores: Matrix, images: list[int], vectors: Matrix, hardest: bool) -> float:
    def margin(i: int, j: int) -> float | None:
        if images[i] == images[j]:
            return None
        norms = math.sqrt(inner(vectors[i], vectors[i])) * math.sqrt(inner(vectors[j], vectors[j]))
        return 0.2 - 0.2 * (inner(vectors[i], vectors[j]) / norms if norms else 0.0)

    return hinge_sums(scores, margin, hardest)


def plain_luwm(scores: Matrix) -> float:
    size, total = len(scores), 0.0
    for query in range(size):
        positive = scores[query][query]
        others = [other for other in range(size) if other != query]
        for negatives in ([scores[query][j] for j in others], [scores[i][query] for i in others]):
            if positive >= 1 - 1e-5 or not any(negative + 0.2 > positive for negative in negatives):
                continue
            hardest = max(negatives)
            total += max(0.0, 0.2 * positive**2 - 0.7 * positive + 0.5)
            total += max(0.0, 0.9 * hardest**2 - 0.4 * hardest + 0.03)
    return total / size


def plain_hal(scores: Matrix) -> float:
    size, total = len(scores), 0.0
    weight = [[math.exp(30 * ((0 if i == j else scores[i][j]) - 0.3)) for j in range(size)] for i in range(size)]
    for k in range(size):
        total += math.log(1 + sum(weight[k])) / 30 + math.log(1 + sum(row[k] for row in weight)) / 30
        total -= math.log(1 + max(0.0, scores[k][k]))
    return total / size


def plain_infonce(scores: Matrix, images: list[int]) -> float:
    size, total = len(scores), 0.0
    for query in range(size):
        right = [other for other in range(size) if images[other] == images[query]]
        for logits in ([s / 0.07 for s in scores[query]], [row[query] / 0.07 for row in scores]):
            log_sum = math.log(sum(math.exp(logit) for logit in logits))
            total += sum(log_sum - logits[other] for other in right) / len(right)
    return total / (2 * size)


def plain_soft_margin(scores: Matrix, hardest: bool) -> float:
    size, total = len(scores), 0.0
    for query in range(size):
        others = [other for other in range(size) if other != query]
        for negatives in ([scores[query][j] for j in others], [scores[i][query] for i in others]):
            costs = [math.log(1 + math.exp(10 * (negative - scores[query][query]))) / 10 for negative in negatives]
            total += max(costs, default=0.0) if hardest else sum(costs)
    return total


PLAIN: dict[str, Callable[[Matrix, list[int], Matrix], float]] = {
    "sum_hinge": lambda s, images, v: hinge_sums(s, lambda i, j: 0.2, False),
    "max_hinge": lambda s, images, v: hinge_sums(s, lambda i, j: 0.2, True),
    "lseh_max": lambda s, images, v: plain_lseh(s, images, v, True),
    "lseh_sum": lambda s, images, v: plain_lseh(s, images, v, False),
    "luwm": lambda s, images, v: plain_luwm(s),
    "hal_coco": lambda s, images, v: plain_hal(s),
    "infonce": lambda s, images, v: plain_infonce(s, images),
    "soft_margin_max": lambda s, images, v: plain_soft_margin(s, True),
    "soft_margin_sum": lambda s, images, v: plain_soft_margin(s, False),
    "sam_max": lambda s, images, v: plain_sam(s, images, v, True),
    "sam_sum": lambda s, images, v: plain_sam(s, images, v, False),
}


@st.composite
def batches(draw: st.DrawFn) -> tuple[Matrix, list[int], Matrix]:
    """Scores (ties likely), image ids (repeats likely) and description vectors (zero rows likely)."""
    size = draw(st.integers(1, 5))
    score = st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]))
    # A vector that is almost zero is what reading descriptions rounds to zero.
    entry = st.one_of(st.just(0.0), st.floats(0.01, 1), st.floats(-1, -0.01))
    return (
        draw(st.lists(st.lists(score, min_size=size, max_size=size), min_size=size, max_size=size)),
        draw(st.lists(st.integers(0, 6), min_size=size, max_size=size)),
        draw(st.lists(st.lists(entry, min_size=3, max_size=3), min_size=size, max_size=size)),
    )


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=25, deadline=None)
@given(batch=batches())
def test_value_is_the_definition(name: str, batch: tuple[Matrix, list[int], Matrix]):
    scores, images, vectors = batch
    pairs = Pairs(torch.tensor(images), torch.arange(len(images)), torch.tensor(vectors, dtype=torch.float64))
    found = VARIANTS[name]().double()(torch.tensor(scores, dtype=torch.float64), pairs)
    assert found.item() == pytest.approx(PLAIN[name](scores, images, vectors), rel=1e-6, abs=1e-9)


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_is_that_of_the_value(name: str, size: int):
    scores, pairs = random_pairs(size, torch.Generator().manual_seed(size))
    objective = VARIANTS[name]().double()
    assert torch.autograd.gradcheck(lambda s: objective(s, pairs), scores.requires_grad_())


def test_temperature_is_learned():
    scores, pairs = random_pairs(4, torch.Generator().manual_seed(0))
    objective = InfoNCE().double()

    def loss(log_temperature: Tensor) -> Tensor:
        return torch.func.functional_call(objective, {"log_temperature": log_temperature}, (scores, pairs))

    assert torch.autograd.gradcheck(loss, torch.tensor(-2.0, dtype=torch.float64, requires_grad=True))


def test_temperature_stops_at_its_bound_but_can_leave_it():
    objective = InfoNCE()
    with torch.no_grad():
        objective.log_temperature.fill_(-20.0)
    ids = torch.arange(4)
    objective(-torch.eye(4), Pairs(ids, ids)).backward()  # wrong answers: less certainty would cost less
    assert objective.log_temperature.exp().item() == pytest.approx(0.01)
    assert objective.log_temperature.grad < 0


@pytest.mark.parametrize("name", VARIANTS)
def test_sparse_gradient_means_at_most_three_scores_a_pair(name: str):
    generator = torch.Generator().manual_seed(1)
    objective = VARIANTS[name]()
    scores, pairs = random_pairs(32, generator, torch.float32)
    scores.requires_grad_()
    objective(scores, pairs).backward()
    touched = int((scores.grad != 0).sum())
    assert objective.sparse_gradient == (touched <= 3 * 32)


def test_the_first_of_tied_negatives_gets_the_gradient():
    for objective in (MaxHinge(), LSEH(max_violation=True, semantic_weight=0.0), SAM(max_violation=True)):
        scores = torch.zeros(3, 3, requires_grad=True)
        ids = torch.arange(3)
        objective(scores, Pairs(ids, ids * 5, torch.zeros(3, 2))).backward()
        expected = torch.tensor([[-2.0, 2.0, 1.0], [2.0, -2.0, 0.0], [1.0, 0.0, -2.0]])
        assert torch.equal(scores.grad, expected)


def test_a_hinge_at_zero_has_no_gradient():
    scores = torch.tensor([[0.5, 0.25], [0.25, 0.5]], requires_grad=True)
    ids = torch.arange(2)
    for objective in (MaxHinge(0.25), SumHinge(0.25)):
        (gradient,) = torch.autograd.grad(objective(scores, Pairs(ids, ids)), scores)
        assert (gradient == 0).all()


def test_descriptions_get_no_gradient():
    scores, pairs = random_pairs(4, torch.Generator().manual_seed(2))
    pairs.descriptions.requires_grad_()
    for objective in (LSEH(), SAM()):
        assert not objective(scores, pairs).requires_grad


# --- edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_of_one_is_legal(name: str):
    scores = torch.tensor([[0.3]], requires_grad=True)
    one = torch.zeros(1, dtype=torch.int64)
    loss = VARIANTS[name]()(scores, Pairs(one, one, torch.zeros(1, 4)))
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    if not name.startswith("hal"):  # HAL pulls the positive, negatives or not
        assert loss == 0
        assert (scores.grad == 0).all()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("fill", [-1.0, 0.0, 1.0, 1e4, -1e4])
def test_equal_scores_of_any_size_give_finite_values_and_gradients(name: str, fill: float):
    scores = torch.full((6, 6), fill, requires_grad=True)
    ids = torch.arange(6)
    loss = VARIANTS[name]()(scores, Pairs(ids, ids, torch.zeros(6, 4)))
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
        leaf = scores.clone().requires_grad_()
        pairs = Pairs(ids, ids, torch.ones(512, 4, dtype=scores.dtype))
        loss = VARIANTS[name]().to(scores.dtype)(leaf, pairs)
        loss.backward()
        assert torch.isfinite(leaf.grad).all()
        values.append(loss.item())
    assert values[1] == pytest.approx(values[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_one_image_repeated_throughout_is_legal(name: str):
    scores = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)).requires_grad_()
    loss = VARIANTS[name]()(scores, Pairs(torch.zeros(5, dtype=torch.int64), torch.arange(5), torch.ones(5, 4)))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_directions_add_up_to_the_loss(name: str):
    scores, pairs = random_pairs(6, torch.Generator().manual_seed(4), torch.float32)
    objective = VARIANTS[name]()
    image_to_text, text_to_image = objective.directions(scores, pairs)
    assert torch.equal(image_to_text + text_to_image, objective(scores, pairs))


@pytest.mark.parametrize("name", ["sum_hinge", "max_hinge", "luwm", "hal_coco", "infonce", "soft_margin_max"])
def test_transposed_scores_swap_the_directions(name: str):
    scores, pairs = random_pairs(6, torch.Generator().manual_seed(5))
    objective = VARIANTS[name]().double()
    forth, back = objective.directions(scores, pairs), objective.directions(scores.T, pairs)
    torch.testing.assert_close(torch.stack(forth), torch.stack(back[::-1]))


def test_every_objective_has_a_variant_here():
    assert {type(build()) for build in VARIANTS.values()} == set(OBJECTIVES.values())


# --- what single objectives promise ----------------------------------------------------------------------------------


def siblings(**options: Any) -> Tensor:
    """Gradient of LSEH where captions 0 and 1 are of one image and 1 outscores 0, in sum mode."""
    scores = torch.tensor([[0.5, 0.6, -1.0], [-1.0, 0.9, -1.0], [-1.0, -1.0, 0.9]], requires_grad=True)
    pairs = Pairs(torch.tensor([7, 7, 8]), torch.tensor([35, 36, 40]), torch.eye(3))
    LSEH(**options)(scores, pairs).backward()
    return scores.grad


def test_lseh_same_image_decides_what_siblings_are():
    assert siblings()[0, 1] == 1
    assert (siblings(same_image="ignore") == 0).all()
    scores = torch.tensor([[0.7, 0.6], [-1.0, 0.9]], requires_grad=True)  # within the margin, but not ahead
    pairs = Pairs(torch.tensor([7, 7]), torch.tensor([35, 36]), torch.eye(2))
    for same_image, cost in (("zero_margin", 0.0), ("negative", 0.085)):
        assert LSEH(same_image=same_image)(scores, pairs).item() == pytest.approx(cost, abs=1e-6)


def test_lseh_legacy_key_takes_unrelated_pairs_for_one_image():
    scores = torch.zeros(2, 2)
    pairs = Pairs(torch.tensor([1, 5]), torch.tensor([1, 5]), torch.eye(2))  # one caption an image; 5 // 5 == 1
    assert LSEH()(scores, pairs).item() == pytest.approx(4 * 0.185)
    assert LSEH(same_image_key="legacy_div5")(scores, pairs).item() == pytest.approx(2 * 0.185)


def test_nearer_captions_get_a_larger_margin_in_lseh_and_a_smaller_one_in_sam():
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    ids = torch.arange(3)
    costs = {}
    for rival in (1, 2):
        scores = torch.full((3, 3), -9.0).fill_diagonal_(0.5)
        scores[0, rival] = 0.5
        pairs = Pairs(ids, ids * 5, vectors)
        costs[rival] = [objective(scores, pairs).item() for objective in (LSEH(), SAM())]
    assert costs[1][0] > costs[2][0]
    assert costs[1][1] < costs[2][1]


def test_luwm_skips_the_perfect_pair_that_stops_the_published_code():
    scores = torch.tensor([[1.0, 0.9], [0.5, 0.4]], requires_grad=True)
    ids = torch.arange(2)
    LUWM()(scores, Pairs(ids, ids)).backward()
    assert scores.grad[0, 0] == 0
    assert scores.grad[1, 1] != 0


def test_luwm_takes_other_coefficients():
    scores = torch.tensor([[0.5, 0.6], [0.6, 0.5]])
    ids = torch.arange(2)
    objective = LUWM(positive_coefficients=(1.0, 0.0, 0.0), negative_coefficients=(0.0, 1.0, 0.0))
    assert objective(scores, Pairs(ids, ids)).item() == pytest.approx(2 * 1.6)


def test_infonce_shares_the_answer_among_captions_of_one_image():
    scores = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]], requires_grad=True)
    rows = torch.arange(3)
    loss = InfoNCE()(scores, Pairs(torch.tensor([4, 4, 9]), rows))
    assert loss.item() == pytest.approx(2 / 3 * math.log(2), abs=1e-6)
    (content,) = torch.autograd.grad(loss, scores)
    assert content.abs().max() < 1e-5
    (pulled_apart,) = torch.autograd.grad(InfoNCE()(scores, Pairs(rows, rows)), scores)
    assert pulled_apart[0, 1] > 1


def test_soft_margin_nears_the_hinge_as_it_sharpens():
    scores, pairs = random_pairs(6, torch.Generator().manual_seed(6))
    sharp = SoftMargin(sharpness=2000.0, max_violation=True)(scores, pairs)
    assert sharp.item() == pytest.approx(MaxHinge(0.0)(scores, pairs).item(), abs=0.01)


@pytest.mark.parametrize(
    "build",
    [
        lambda: InfoNCE(temperature=0.0),
        lambda: InfoNCE(temperature=float("nan")),
        lambda: SoftMargin(sharpness=0.0),
        lambda: HAL(local_alpha=0.0),
        lambda: HAL(mb_k=0),
        lambda: HAL(memory_bank=True, mb_rate=0.0),
        lambda: HAL(memory_bank=True, mb_rate=1.5),
    ],
)
def test_constants_out_of_range_are_refused(build: Callable[[], Objective]):
    with pytest.raises(InputError, match="expected"):
        build()
