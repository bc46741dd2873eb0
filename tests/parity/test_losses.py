"""Values and gradients of the objectives equal those of the published classes.

Tolerances are absolute errors over 1 + the largest entry. Where no float32 result of the published class is kept, the
float32 value is held against the float64 one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vse.losses import HAL, LSEH, LUWM, MaxHinge, MemoryBank, Objective, Pairs, SumHinge
from vse.losses.semantics import description_similarity

GOLDEN = Path(__file__).parent.parent / "golden"
DTYPES = {"f64": torch.float64, "f32": torch.float32}
TOLERANCE = {"f64": 1e-12, "f32": 2e-6}
CASES = {
    "plain5",
    "plain24",
    "plain64",
    "repimg64",
    "ties64",
    "satisfied12",
    "negative10",
    "sigmoid9",
    "constant6",
    "single1",
    "pair2",
}


@cache
def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def cases(name: str) -> list[str]:
    return sorted({key.split("__")[0] for key in golden(name)})


def tensor(values: np.ndarray, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(values).to(dtype)


def assert_close(found: Tensor, expected: np.ndarray, tolerance: float) -> None:
    error = np.abs(found.detach().double().numpy() - expected).max(initial=0.0)
    assert error <= tolerance * (1 + np.abs(expected).max(initial=0.0))


def value_and_gradient(objective: Objective, scores: np.ndarray, dtype: torch.dtype, pairs: Pairs | None = None):
    leaf = tensor(scores, dtype).requires_grad_()
    unknown = torch.full((len(leaf),), -1)
    pairs = pairs or Pairs(unknown, unknown)
    directions = objective.directions(leaf, pairs)
    loss = objective(leaf, pairs)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss, directions, gradient


def test_goldens_hold_every_case():
    assert set(cases("losses/hinge")) == CASES
    assert set(cases("losses/lseh")) == CASES | {"zerosvd18", "allzerosvd14", "iapr_onecap20"}
    assert set(cases("losses/luwm")) == CASES | {"nearone8", "exactone8", "smallscores8"}
    assert set(cases("hal/local")) == CASES - {"repimg64", "plain64", "ties64"}


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("case", cases("losses/hinge"))
def test_hinges_equal_the_published_with_exact_gradients(case: str, precision: str):
    data = golden("losses/hinge")
    compared = 0
    for name, kind in (("sum", SumHinge), ("max", MaxHinge)):
        for margin in (0.2, 0.185, 0.07):
            key = f"{case}__{name}__m{margin}__"
            if f"{key}loss_{precision}" not in data:
                continue
            loss, _, gradient = value_and_gradient(kind(margin), data[f"{case}__scores"], DTYPES[precision])
            assert_close(loss, data[f"{key}loss_{precision}"], TOLERANCE[precision])
            np.testing.assert_array_equal(gradient, data[f"{key}grad_{precision}"])
            compared += 1
    assert compared >= 2


LSEH_VARIANTS = {
    "std": {"same_image_key": "legacy_div5"},
    "gsmn": {"margin": 0.07, "semantic_weight": 0.05, "same_image_key": "legacy_div5"},
    "vitr": {},
}


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("variant", LSEH_VARIANTS)
@pytest.mark.parametrize("case", cases("losses/lseh"))
def test_lseh_equals_the_published_with_exact_gradients(case: str, variant: str, precision: str):
    data = golden("losses/lseh")
    dtype, tolerance = DTYPES[precision], TOLERANCE[precision]
    pairs = Pairs(
        torch.from_numpy(data[f"{case}__img_ids"]),
        torch.from_numpy(data[f"{case}__ids"]),
        tensor(data[f"{case}__svd"], dtype),
    )
    compared = 0
    for name in ("max", "sum"):
        key = f"{case}__{name}__{variant}__"
        if f"{key}loss_{precision}" not in data:
            continue
        objective = LSEH(max_violation=name == "max", **LSEH_VARIANTS[variant])
        loss, directions, gradient = value_and_gradient(objective, data[f"{case}__scores"], dtype, pairs)
        assert_close(loss, data[f"{key}loss_{precision}"], tolerance)
        np.testing.assert_array_equal(gradient, data[f"{key}grad_{precision}"])
        for direction, part in zip(directions, ("loss_s", "loss_im"), strict=True):
            if f"{key}{part}_{precision}" in data:
                assert_close(direction, data[f"{key}{part}_{precision}"], tolerance)
        compared += 1
    assert compared


@pytest.mark.parametrize("case", cases("losses/lseh"))
def test_row_maximum_similarity_equals_the_published(case: str):
    data = golden("losses/lseh")
    found = description_similarity(tensor(data[f"{case}__svd"], torch.float64), "rowmax")
    assert_close(found, data[f"{case}__rownorm_sim_f64"], 1e-12)


@pytest.mark.parametrize("case", sorted(CASES | {"zerosvd18", "allzerosvd14"}))
def test_lseh_default_is_the_original_with_five_captions(case: str):
    data = golden("losses/lseh")
    if not np.array_equal(data[f"{case}__ids"] // 5, data[f"{case}__img_ids"]):
        pytest.skip("not five captions an image")
    pairs = Pairs(
        torch.from_numpy(data[f"{case}__img_ids"]),
        torch.from_numpy(data[f"{case}__ids"]),
        tensor(data[f"{case}__svd"], torch.float64),
    )
    loss, _, gradient = value_and_gradient(LSEH(max_violation=True), data[f"{case}__scores"], torch.float64, pairs)
    assert_close(loss, data[f"{case}__max__std__loss_f64"], 1e-12)
    np.testing.assert_array_equal(gradient, data[f"{case}__max__std__grad_f64"])


@pytest.mark.parametrize("variant", ["vsepp_lseh", "vsrn_lseh", "vsepp_max"])
def test_gradients_of_embeddings_equal_the_published(variant: str):
    data = golden("losses/embed")
    case = "emb32rep"
    images = tensor(data[f"{case}__im"], torch.float64).requires_grad_()
    captions = tensor(data[f"{case}__s"], torch.float64).requires_grad_()
    pairs = Pairs(
        torch.from_numpy(data[f"{case}__img_ids"]),
        torch.from_numpy(data[f"{case}__ids"]),
        tensor(data[f"{case}__svd"], torch.float64),
    )
    objective = MaxHinge() if variant == "vsepp_max" else LSEH(max_violation=True)
    loss = objective(images @ captions.T, pairs)
    loss.backward()
    assert_close(loss, data[f"{case}__{variant}__loss_f64"], 1e-11)
    assert_close(images.grad, data[f"{case}__{variant}__grad_im_f64"], 1e-11)
    assert_close(captions.grad, data[f"{case}__{variant}__grad_s_f64"], 1e-11)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("margin", [0.2, 0.07])
@pytest.mark.parametrize("case", sorted(set(cases("losses/luwm")) - {"exactone8"}))
def test_luwm_equals_the_published(case: str, margin: float, precision: str):
    data = golden("losses/luwm")
    key = f"{case}__m{margin}__"
    loss, _, gradient = value_and_gradient(LUWM(margin), data[f"{case}__scores"], DTYPES[precision])
    assert_close(loss, data[f"{key}loss_{precision}"], TOLERANCE[precision])
    assert_close(gradient, data[f"{key}grad_{precision}"], TOLERANCE[precision])


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("setting", [(30.0, 0.3), (60.0, 0.7)], ids=["coco", "f30k"])
@pytest.mark.parametrize("case", cases("hal/local"))
def test_hal_local_weighting_equals_the_published(case: str, setting: tuple[float, float], precision: str):
    data = golden("hal/local")
    key = f"{case}__{'coco' if setting[0] == 30 else 'f30k'}__"
    loss, _, gradient = value_and_gradient(HAL(*setting), data[f"{case}__scores"], DTYPES[precision])
    assert_close(loss, data[f"{key}loss_f64"], TOLERANCE[precision])
    assert_close(gradient, data[f"{key}grad_f64"], TOLERANCE[precision])


def test_hal_on_order_scores_equals_the_original():
    data = golden("hal/local_order")
    loss, _, gradient = value_and_gradient(HAL(), data["f64.scores"], torch.float64)
    assert_close(loss, data["f64.hal.loss"], 1e-12)
    assert_close(gradient, data["f64.hal.grad.scores"], 1e-12)
    assert (gradient.diagonal() == 0).all()


def remembered(images: np.ndarray, captions: np.ndarray, ids: np.ndarray, dtype: torch.dtype) -> MemoryBank:
    bank = MemoryBank()
    caption_ids = torch.from_numpy(ids)
    bank.remember(tensor(images, dtype), tensor(captions, dtype), caption_ids // 5, caption_ids)
    return bank


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("setting", [(30.0, 0.3), (60.0, 0.7)], ids=["coco", "f30k"])
@pytest.mark.parametrize(("case", "mb_k"), [("g24", 250), ("g40k8", 8), ("g12excl", 250)])
def test_hal_global_weighting_equals_the_published(case: str, mb_k: int, setting: tuple[float, float], precision: str):
    data = golden("hal/global")
    key = f"{case}__{'coco' if setting[0] == 30 else 'f30k'}__"
    dtype, tolerance = DTYPES[precision], {"f64": 1e-11, "f32": 1e-5}[precision]
    images = tensor(data[f"{case}__im"], dtype).requires_grad_()
    captions = tensor(data[f"{case}__s"], dtype).requires_grad_()
    ids = torch.from_numpy(data[f"{case}__ids"])
    bank = remembered(data[f"{case}__mb_img"], data[f"{case}__mb_cap"], data[f"{case}__mb_ids"], dtype)
    pairs = Pairs(ids // 5, ids)
    pairs.bank = bank.scores(images, captions, pairs)
    scores = images @ captions.T
    scores.retain_grad()
    loss = HAL(*setting, mb_k=mb_k)(scores, pairs)
    loss.backward()
    assert_close(loss, data[f"{key}loss_f64"], tolerance)
    assert_close(scores.grad, data[f"{key}grad_scores_f64"], tolerance)
    assert_close(images.grad, data[f"{key}grad_im_f64"], tolerance)
    assert_close(captions.grad, data[f"{key}grad_s_f64"], tolerance)


@pytest.mark.parametrize(("name", "mb_k", "nearest"), [("mb_smallk", 6, 6), ("mb_kclamped", 250, 10)])
def test_hal_weights_of_the_bank_equal_the_published(name: str, mb_k: int, nearest: int):
    data = golden(f"hal/{name}")
    assert data["f64.hal.mid.mb_k"] == nearest
    images, captions = (tensor(data[f"out.{side}_emb"], torch.float64).requires_grad_() for side in ("img", "cap"))
    pairs = Pairs(torch.from_numpy(data["in.img_ids"]), torch.from_numpy(data["in.caption_ids"]))
    bank = remembered(data["in.mb_img"], data["in.mb_cap"], data["in.mb_ind"], torch.float64)
    pairs.bank = bank.scores(images, captions, pairs)
    objective = HAL(mb_k=mb_k)
    scores = images @ captions.T
    negative_weights, positive_weights = objective.global_weights(scores.detach().diagonal(), pairs.bank)
    assert_close(negative_weights.fill_diagonal_(0), data["f64.hal.mid.wit"], 1e-11)
    assert_close(positive_weights, data["f64.hal.mid.wii"], 1e-11)
    loss = objective(scores, pairs)
    loss.backward()
    assert_close(loss, data["f64.hal.loss"], 1e-12)
    assert_close(images.grad, data["f64.hal.grad.img_emb"], 1e-10)
    assert_close(captions.grad, data["f64.hal.grad.cap_emb"], 1e-10)
