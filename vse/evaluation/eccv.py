"""MS-COCO's other ground truths: CxC and ECCV Caption, with many right answers per query, and COCO 1K.

CxC (Parekh et al., EACL 2021) and ECCV Caption (Chun et al., ECCV 2022) name right answers by MS-COCO's image and
caption ids, for the 5,000 images and 25,000 captions of Karpathy's test split. The package `eccv-caption` (extra
`[eval]`) ships both; its own functions want every ranking in full and sort them. Here the nearest items are found by
selection, and the numbers are equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vse.data.ids import SplitIds
from vse.errors import InputError
from vse.evaluation.ranking import RECALL_AT, evaluate, mean_of_folds, nearest, part, precision_at_r, relevance

FOLDS = 5

Answers = Mapping[int, Sequence[int]]
"""Id of a query -> ids of its right answers."""


@dataclass(frozen=True)
class GroundTruth:
    """Right answers by MS-COCO id, in both directions, which need not agree (ECCV Caption's don't)."""

    name: str
    captions_of: Answers  # image id -> caption ids
    images_of: Answers  # caption id -> image ids


@dataclass(frozen=True)
class Positives:
    """Right answers of the queries of one direction, as rows and columns of the scores."""

    query: Tensor  # [P] int64
    item: Tensor  # [P] int64
    total: Tensor  # [Q] int64, number of right answers of each query, those that the gallery lacks included
    without: list[int]  # ids of queries without any right answer, which are not evaluated
    absent: list[int]  # ids of right answers that the gallery lacks, which count as missed


def package_data() -> Path:
    """Find the folder of ground truths in the package `eccv-caption` without importing it.

    Raises:
        InputError: the package is not installed.
    """
    spec = find_spec("eccv_caption")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("CxC and ECCV Caption come with the package eccv-caption 0.1.0: pip install 'vse[eval]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def load_ground_truth(name: str) -> GroundTruth:
    """Read a ground truth of the package: `cxc`, `eccv`, or `original` for each caption's own image."""

    def answers(direction: str) -> dict[int, list[int]]:
        content = json.loads((package_data() / f"{name}_{direction}.json").read_bytes())
        return {int(query): [int(item) for item in items] for query, items in content.items()}

    return GroundTruth(name, answers("image_to_caption"), answers("caption_to_image"))


def karpathy_order() -> tuple[np.ndarray, np.ndarray]:
    """Caption ids [25000] of Karpathy's test split in its order, and the image id of each caption."""
    captions = np.load(package_data() / "coco_test_ids.npy", allow_pickle=False)
    image_of = load_ground_truth("original").images_of
    return captions, np.array([image_of[caption][0] for caption in captions.tolist()])


def join_coco(split: SplitIds) -> tuple[np.ndarray, np.ndarray, str]:
    """Find the MS-COCO ids of a split -> image ids [5000], caption ids [25000], where the caption ids came from.

    Caption ids are those of the split's `{split}_cap_ids.txt`. A split without them is taken to be in the order of
    Karpathy's test split if the ids of its images agree with that order, caption by caption.

    Raises:
        InputError: the ids are unknown, or not exactly those of Karpathy's test split.
    """
    known, image_of_known = karpathy_order()
    if split.image_ids is None:
        raise InputError(
            f"{split.title}: the split has no image ids; CxC and ECCV Caption are joined by MS-COCO's ids, "
            f"give {split.name}_ids.txt in its folder or --image_ids"
        )
    image_of = split.image_ids[split.caption_image]
    if split.caption_ids is not None:
        captions, origin = split.caption_ids, "the split's own"
    elif np.array_equal(image_of, image_of_known):
        captions, origin = known, "Karpathy's order of the test split, with which the image ids agree"
    else:
        agree = int((image_of[: len(known)] == image_of_known[: len(image_of)]).sum())
        raise InputError(
            f"{split.title}: the split has no caption ids, and its image ids are not in the order of Karpathy's test "
            f"split ({agree} of {len(known)} captions agree, the split has {len(image_of)}); evaluate the whole test "
            f"split, or give {split.name}_cap_ids.txt in its folder or --caption_ids"
        )
    own_image = dict(zip(known.tolist(), image_of_known.tolist(), strict=True))
    wrong = [c for c, i in zip(captions.tolist(), image_of.tolist(), strict=True) if own_image.get(c) != i]
    missing = len(own_image) - len(set(captions.tolist()) & set(own_image))
    if wrong or missing or len(captions) != len(known):
        raise InputError(
            f"{split.title}: {len(wrong)} of {len(captions)} captions are not of the image that MS-COCO gives them "
            f"({first_ten(wrong)}), and {missing} of the {len(known)} captions of Karpathy's test split are missing; "
            "CxC and ECCV Caption mean that split as a whole"
        )
    return split.image_ids, captions, origin


def positives(answers: Answers, query_ids: np.ndarray, item_ids: np.ndarray) -> Positives:
    """Right answers by id -> right answers by row and column.

    Args:
        query_ids: [Q] id of each query.
        item_ids: [G] id of each item of the gallery.

    Raises:
        InputError: queries of the ground truth that are not among `query_ids`.
    """
    row = {query: number for number, query in enumerate(query_ids.tolist())}
    column = {item: number for number, item in enumerate(item_ids.tolist())}
    lost = [query for query in answers if query not in row]
    if lost:
        raise InputError(
            f"{len(lost)} of {len(answers)} queries of the ground truth are not in the split: {first_ten(lost)}"
        )
    pairs = [(row[query], column.get(item, -1), item) for query in answers for item in dict.fromkeys(answers[query])]
    rows, columns, ids = (np.array(values, dtype=np.int64) for values in zip(*pairs, strict=True))
    total = np.bincount(rows, minlength=len(row))
    there = columns >= 0
    return Positives(
        torch.from_numpy(rows[there]),
        torch.from_numpy(columns[there]),
        torch.from_numpy(total),
        [query for query, count in zip(query_ids.tolist(), total.tolist(), strict=True) if not count],
        list(dict.fromkeys(ids[~there].tolist())),
    )


def evaluate_positives(neighbours: Tensor, right: Positives, gallery: int) -> dict[str, float]:
    """R@1, R@5 and R@10, R-precision and mAP@R in percent, over the queries that have right answers.

    Args:
        neighbours: [Q, k] items nearest to each query, best first; k at least the largest number of right answers.
        gallery: number of items in the gallery.
    """
    asked = right.total > 0
    relevant = relevance(neighbours, right.query, right.item, gallery)
    recalls = {f"r{k}": 100 * float(relevant[asked, :k].any(dim=1).double().mean()) for k in RECALL_AT}
    return recalls | precision_at_r(relevant, right.total) | {"queries": int(asked.sum())}


def evaluate_ground_truth(
    scores: Tensor, image_ids: np.ndarray, caption_ids: np.ndarray, truth: GroundTruth
) -> dict[str, Any]:
    """Both directions of retrieval by a ground truth -> `evaluate_positives`, with the suffix `i` for text-to-image.

    Also counts, and names the first ids of, the queries that the ground truth knows nothing of (`without`) and the
    right answers that are not in the gallery (`absent`), which count as missed, as in the package.

    Args:
        scores: [N, M] of every image and caption, without NaN.
        image_ids: [N] MS-COCO id of each row.
        caption_ids: [M] MS-COCO id of each column.
    """
    result: dict[str, Any] = {}
    for suffix, matrix, answers, queries, items in (
        ("", scores, truth.captions_of, image_ids, caption_ids),
        ("i", scores.T, truth.images_of, caption_ids, image_ids),
    ):
        right = positives(answers, queries, items)
        asked = (right.total > 0).nonzero()[:, 0]
        k = min(max(*RECALL_AT, int(right.total.max())), len(items))
        neighbours = torch.zeros(len(queries), k, dtype=torch.long)
        for rows in asked.split(1024):  # ECCV Caption asks 1,332 of 25,000 captions: the others are not looked at
            neighbours[rows] = nearest(matrix[rows], k)
        found: dict[str, Any] = evaluate_positives(neighbours, right, len(items))
        for what, ids in (("without", right.without), ("absent", right.absent)):
            found[what] = {"count": len(ids), "ids": first_ten(ids)}
        result |= {name + suffix: value for name, value in found.items()}
    return result


def evaluate_coco(scores: Tensor, split: SplitIds) -> dict[str, Any]:
    """Evaluate Karpathy's test split by every protocol but the 5K one, which is `vse.evaluation.ranking.evaluate`.

    Returns:
        `fold5`: means over five folds of 1,000 images (COCO 1K), in Karpathy's order whatever the order of the rows;
        `cxc` and `eccv`: see `evaluate_ground_truth`; `caption_ids`: where the ids of the captions came from.

    Raises:
        InputError: the split's ids are not those of Karpathy's test split.
    """
    image_ids, caption_ids, origin = join_coco(split)
    _, image_of = karpathy_order()
    row = {image: number for number, image in enumerate(image_ids.tolist())}
    order = torch.tensor([row[image] for image in dict.fromkeys(image_of.tolist())])
    owner = torch.from_numpy(split.caption_image)
    result: dict[str, Any] = {
        "fold5": mean_of_folds([evaluate(*part(scores, owner, images)) for images in order.chunk(FOLDS)])
    }
    for name in ("cxc", "eccv"):
        result[name] = evaluate_ground_truth(scores, image_ids, caption_ids, load_ground_truth(name))
    return result | {"caption_ids": origin}


def first_ten(items: Sequence[Any]) -> str:
    """Name the first ten of some items, and how many more there are."""
    more = f" and {len(items) - 10} more" if len(items) > 10 else ""
    return (", ".join(map(str, items[:10])) or "none") + more
