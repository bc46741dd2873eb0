"""CxC and ECCV Caption: ids are joined in full or refused, and the metrics equal the package's own on full rankings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vse.data.ids import SplitIds
from vse.errors import InputError
from vse.evaluation.eccv import (
    GroundTruth,
    evaluate_coco,
    evaluate_ground_truth,
    join_coco,
    karpathy_order,
    load_ground_truth,
    positives,
)

IMAGES, CAPTIONS = 30, 150


@pytest.fixture(scope="module")
def coco() -> SplitIds:
    """Karpathy's test split, known by its image ids."""
    pytest.importorskip("eccv_caption")
    _, image_of = karpathy_order()
    image_ids = np.array(list(dict.fromkeys(image_of.tolist())))
    return SplitIds("testall", None, np.repeat(np.arange(5000), 5), 5000, image_ids=image_ids)


def small_truth(seed: int = 0) -> tuple[GroundTruth, np.ndarray, np.ndarray]:
    """A ground truth of ECCV Caption's kind: some queries only, up to 40 answers, directions that disagree."""
    generator = np.random.default_rng(seed)
    image_ids, caption_ids = 1000 + generator.permutation(IMAGES), 5000 + generator.permutation(CAPTIONS)
    captions_of = {
        int(image): generator.choice(caption_ids, generator.integers(1, 41), replace=False).tolist()
        for image in generator.permutation(image_ids)[:20]
    }
    images_of = {
        int(caption): generator.choice(image_ids, generator.integers(1, 20), replace=False).tolist()
        for caption in generator.permutation(caption_ids)[:60]
    }
    return GroundTruth("small", captions_of, images_of), image_ids, caption_ids


def rankings(scores: np.ndarray, queries: np.ndarray, items: np.ndarray) -> dict[int, list[int]]:
    order = np.argsort(-scores, axis=1, kind="stable")
    return {int(query): items[row].tolist() for query, row in zip(queries, order, strict=True)}


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_the_package_on_full_rankings(seed: int) -> None:
    package = pytest.importorskip("eccv_caption._metrics")
    truth, image_ids, caption_ids = small_truth(seed)
    truth.captions_of[next(iter(truth.captions_of))].append(99)  # as in ECCV Caption: an answer that is not there
    scores = np.random.default_rng(seed).integers(0, 50, (IMAGES, CAPTIONS)).astype(np.float32)  # many ties
    found = evaluate_ground_truth(torch.from_numpy(scores), image_ids, caption_ids, truth)
    for suffix, ranked, answers in (
        ("", rankings(scores, image_ids, caption_ids), truth.captions_of),
        ("i", rankings(scores.T, caption_ids, image_ids), truth.images_of),
    ):
        expected = package.compute_eccv_metrics(ranked, answers)
        for ours, theirs in (("r1", "eccv_r1"), ("map_at_r", "eccv_map_at_r"), ("rprecision", "eccv_rprecision")):
            assert found[ours + suffix] == pytest.approx(100 * expected[theirs], abs=1e-12, rel=1e-12)
        for k in (1, 5, 10):
            recall = package.compute_r_at_k(ranked, answers, K=k)
            assert found[f"r{k}{suffix}"] == pytest.approx(100 * recall, abs=1e-12, rel=1e-12)
        assert found[f"queries{suffix}"] == len(answers)


def test_queries_without_answers_are_counted_and_named() -> None:
    truth, image_ids, caption_ids = small_truth()
    truth.captions_of[next(iter(truth.captions_of))].append(99)
    found = evaluate_ground_truth(torch.rand(IMAGES, CAPTIONS), image_ids, caption_ids, truth)
    assert found["without"]["count"] == IMAGES - 20
    assert found["withouti"]["count"] == CAPTIONS - 60
    assert found["absent"] == {"count": 1, "ids": "99"}
    assert found["absenti"]["count"] == 0


def test_a_query_that_is_not_in_the_split_is_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 queries of the ground truth are not in the split: 8"):
        positives({7: [1], 8: [2]}, np.array([7]), np.array([1, 2]))


def test_an_answer_listed_twice_counts_once() -> None:
    right = positives({7: [1, 1, 2]}, np.array([7]), np.array([2, 1]))
    assert right.total.tolist() == [2]
    assert right.item.tolist() == [1, 0]


def test_the_package_holds_the_counts_that_were_published() -> None:
    pytest.importorskip("eccv_caption")
    counts = {
        name: [(len(answers), sum(map(len, answers.values()))) for answers in (truth.captions_of, truth.images_of)]
        for name in ("original", "cxc", "eccv")
        for truth in [load_ground_truth(name)]
    }
    assert counts == {
        "original": [(5000, 25000), (25000, 25000)],
        "cxc": [(5000, 35585), (24972, 35585)],
        "eccv": [(1261, 22550), (1332, 11279)],
    }


def test_image_ids_in_karpathys_order_give_the_caption_ids(coco: SplitIds) -> None:
    image_ids, caption_ids, origin = join_coco(coco)
    assert np.array_equal(caption_ids, karpathy_order()[0])
    assert np.array_equal(image_ids, coco.image_ids)
    assert "Karpathy's order" in origin


def test_another_order_needs_caption_ids(coco: SplitIds) -> None:
    assert coco.image_ids is not None
    order = np.random.default_rng(0).permutation(5000)
    shuffled = replace(coco, image_ids=coco.image_ids[order])
    with pytest.raises(InputError, match="no caption ids, and its image ids are not in the order"):
        join_coco(shuffled)
    own = replace(shuffled, caption_ids=karpathy_order()[0].reshape(5000, 5)[order].ravel())
    assert join_coco(own)[2] == "the split's own"


def test_ids_that_do_not_join_are_counted_and_named(coco: SplitIds) -> None:
    captions = karpathy_order()[0].copy()
    captions[[3, 7000]] = captions[[7000, 3]]
    captions[9] = 1
    with pytest.raises(InputError, match=r"3 of 25000 .*\(\d+, 1, \d+\), and 1 of the 25000 .* are missing"):
        join_coco(replace(coco, caption_ids=captions))


def test_a_split_without_image_ids_or_only_a_part_is_refused(coco: SplitIds) -> None:
    assert coco.image_ids is not None
    with pytest.raises(InputError, match="has no image ids"):
        join_coco(replace(coco, image_ids=None))
    part = SplitIds("test", None, coco.caption_image[:5000], 1000, image_ids=coco.image_ids[:1000])
    with pytest.raises(InputError, match=r"5000 of 25000 captions agree, the split has 5000"):
        join_coco(part)


def test_folds_follow_karpathys_order_not_the_rows(coco: SplitIds, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def fake_part(scores: torch.Tensor, owner: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(images.tolist())
        return torch.eye(2), torch.arange(2)

    monkeypatch.setattr("vse.evaluation.eccv.part", fake_part)
    monkeypatch.setattr("vse.evaluation.eccv.evaluate_ground_truth", lambda *arguments: {})
    assert coco.image_ids is not None
    order = np.random.default_rng(0).permutation(5000)
    captions = karpathy_order()[0].reshape(5000, 5)[order].ravel()
    shuffled = replace(coco, image_ids=coco.image_ids[order], caption_ids=captions)
    evaluate_coco(torch.empty(0), shuffled)
    assert [order[images].tolist() for images in asked] == np.arange(5000).reshape(5, 1000).tolist()
