"""Ranks, best hits and metrics equal what the published evaluations of all networks computed.

The original code multiplies in float64; here scores are float32, as everywhere in the library. The smallest gap
between competing scores of these files is 6.6e-6, far above float32's error, so that every rank must be exact. Only
VSRN's COCO fold (random 4-dimensional embeddings, full of near ties) is scored in float64 as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vse.evaluation.ranking import Ranks, evaluate, folds, mean_reciprocal_rank, metrics, ranks
from vse.evaluation.scoring import ensemble
from vse.nn.encoders import order_similarity

GOLDEN = Path(__file__).parent.parent / "golden" / "evaluation"
PUBLISHED = ("r1", "r5", "r10", "medr", "meanr")


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def scores_of(images: np.ndarray, captions: np.ndarray, order: bool = False) -> Tensor:
    image, caption = torch.from_numpy(images).float(), torch.from_numpy(captions).float()
    return order_similarity(image, caption) if order else image @ caption.T


def owners(scores: Tensor) -> np.ndarray:
    return np.arange(scores.shape[1]) // (scores.shape[1] // scores.shape[0])


def assert_ranks(found: Ranks, expected: Mapping[str, np.ndarray], prefix: str) -> None:
    pairs = {
        "i2t_ranks": found.image_to_text,
        "t2i_ranks": found.text_to_image,
        "i2t_top1": found.best_captions,
        "t2i_top1": found.best_images,
    }
    present = [name for name in pairs if prefix + name in expected]
    assert "i2t_ranks" in present
    for name in present:
        np.testing.assert_array_equal(pairs[name], expected[prefix + name], err_msg=prefix + name)


def assert_evaluation(scores: Tensor, expected: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, float]:
    """Ranks and best hits exact, the five numbers of both directions to 1e-9 -> the metrics."""
    found = ranks(scores, owners(scores))
    assert_ranks(found, expected, prefix)
    result = metrics(found)
    for direction, suffix in (("i2t", ""), ("t2i", "i")):
        numbers = [result[name + suffix] for name in PUBLISHED]
        np.testing.assert_allclose(numbers, expected[prefix + direction], rtol=0, atol=1e-9)
    return result


@pytest.mark.parametrize(
    "name",
    ["vsepp_eval_cosine", "vsepp_eval_order_blocks", "vsepp_eval_iaprtc12", "hal_eval_order"],
)
def test_vsepp_and_hal_evaluation(name: str) -> None:
    expected = golden(name)
    assert_evaluation(scores_of(expected["images"], expected["captions"], "order" in name), expected)


@pytest.mark.parametrize("name", ["vsepp_eval_fold5", "vsepp_lseh_eval_fold5", "hal_eval_fold5"])
def test_five_folds_average_under_the_right_labels(name: str) -> None:
    expected = golden(name)
    scores = scores_of(expected["images"], expected["captions"])
    for number, (part, caption_image) in enumerate(folds(scores, owners(scores))):
        found = ranks(part, caption_image)
        assert_ranks(found, expected, f"fold{number}_")
        result = metrics(found)
        numbers = [result[key + suffix] for suffix in ("", "i") for key in PUBLISHED]
        np.testing.assert_allclose(numbers, expected["per_fold"][number], rtol=0, atol=1e-9)
    averaged = evaluate(scores, owners(scores), fold5=True)
    numbers = [averaged[key + suffix] for suffix in ("", "i") for key in PUBLISHED]
    np.testing.assert_allclose(numbers, expected["mean"], rtol=0, atol=1e-9)
    assert averaged["rsum"] == pytest.approx(float(expected["rsum"]))
    assert averaged["ar"] == pytest.approx(float(expected["ar"]))
    assert averaged["ari"] == pytest.approx(float(expected["ari"]))


@pytest.mark.parametrize("measure", ["cosine", "order", "iapr", "ensemble"])
def test_vsrn_evaluation_with_its_precision(measure: str) -> None:
    expected = golden("vsrn_eval")
    images, captions = (expected[f"{'iapr_' if measure == 'iapr' else ''}{side}"] for side in ("images", "captions"))
    if measure == "order":
        images, captions = np.abs(images), np.abs(captions)
    scores = scores_of(images, captions, measure == "order")
    if measure == "ensemble":
        scores = ensemble([scores, scores_of(expected["images2"], expected["captions2"])])
    assert_evaluation(scores, expected, f"{measure}_")
    if f"{measure}_i2t_precision" in expected:
        found = ranks(scores, owners(scores))
        for direction, rank in (("i2t", found.image_to_text), ("t2i", found.text_to_image)):
            truncated = [mean_reciprocal_rank(rank, k) for k in (1, 5, 10)]
            np.testing.assert_allclose(truncated, expected[f"{measure}_{direction}_precision"], rtol=0, atol=1e-9)


def test_vsrn_coco_fold_with_near_ties() -> None:
    expected = golden("vsrn_eval_fold5_first_fold")
    scores = torch.from_numpy(expected["images"]).double() @ torch.from_numpy(expected["captions"]).double().T
    result = metrics(ranks(scores, owners(scores)))
    numbers = [result[key + suffix] for suffix in ("", "i") for key in PUBLISHED]
    numbers += [result[key] for key in ("ar", "ari", "rsum")]
    np.testing.assert_allclose(numbers, expected["fold"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", ["coco0", "coco1", "iapr0"])
def test_vseinfty_evaluation(case: str) -> None:
    expected = golden("vseinfty_metrics")
    assert_evaluation(scores_of(expected[f"{case}_images"], expected[f"{case}_captions"]), expected, f"{case}_")


def test_vseinfty_ensemble_and_its_five_folds() -> None:
    expected = golden("vseinfty_metrics")
    first = scores_of(expected["coco0_images"], expected["coco0_captions"])
    scores = ensemble([first, torch.from_numpy(expected["ensemble_second"])])
    torch.testing.assert_close(scores, torch.from_numpy(expected["ensemble"]), rtol=0, atol=1e-5)
    whole = evaluate(scores, owners(scores))
    assert [round(whole[key], 1) for key in ("rsum", "ar", "ari")] == [466.0, 86.7, 68.7]
    averaged = evaluate(scores, owners(scores), fold5=True)
    assert [round(part["rsum"], 1) for part in averaged["folds"]] == [550.0, 580.0, 550.0, 565.0, 575.0]
    assert [round(averaged[key], 1) for key in ("rsum", "ar", "ari")] == [564.0, 96.7, 91.3]


@pytest.mark.parametrize("matrix", ["SGR", "SAF", "SGRAF", "random", "iapr"])
def test_sgraf_protocol_on_its_own_similarities(matrix: str) -> None:
    expected = golden("sgraf_protocol")
    assert_evaluation(torch.from_numpy(expected[matrix]), expected, f"{matrix}_")


def test_sgraf_is_the_mean_of_sgr_and_saf() -> None:
    expected = {name: torch.from_numpy(value) for name, value in golden("sgraf_protocol").items()}
    mean = ensemble([expected["SGR"], expected["SAF"]])
    torch.testing.assert_close(mean, expected["SGRAF"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("matrix", ["dense", "sparse", "ensemble"])
def test_gsmn_protocol_on_its_own_similarities(matrix: str) -> None:
    expected = golden("gsmn_eval")
    result = assert_evaluation(torch.from_numpy(expected[matrix]), expected, f"{matrix}_")
    assert result["rsum"] == pytest.approx(float(expected[f"{matrix}_rsum"]))


def test_gsmn_folds() -> None:
    expected = golden("gsmn_eval")
    scores = torch.from_numpy(expected["dense"])
    for (part, caption_image), numbers in zip(
        folds(scores, owners(scores), count=2), expected["two_folds"], strict=True
    ):
        result = metrics(ranks(part, caption_image))
        found = [result[key + suffix] for suffix in ("", "i") for key in PUBLISHED]
        found += [result[key] for key in ("ar", "ari", "rsum")]
        np.testing.assert_allclose(found, numbers, rtol=0, atol=1e-9)
