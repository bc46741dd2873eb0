"""Ranks by counting, and metrics of them: recall, median and mean rank, folds, R-precision, mAP@R, hubness.

Ties: the rank of an item is its position in a *stable descending* sort, i.e. among equal scores the lower index comes
first. A network that scores everything alike is therefore ranked like chance. (The original code reverses an
unstable ascending sort: undefined, mostly the later index first.) Published evaluations multiply in float64; scores
here are float32 as the network gives them, so a rank may differ where two scores lie within about 1e-6 of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError

Array = np.ndarray | Tensor

RECALL_AT = (1, 5, 10)

HUB_NEIGHBOURS = 10

_BLOCK_ELEMENTS = 2**20
"""Scores looked at at once: small enough for a block and its comparisons to stay in the CPU's cache."""


@dataclass(frozen=True)
class Ranks:
    """0-based ranks and best hits of both directions, int64.

    `image_to_text` and `best_captions` are [I], one entry for every image that has a caption, in the order of the
    images: an image without captions is no query and is left out. `text_to_image` and `best_images` are [M].
    """

    image_to_text: np.ndarray  # rank of the best placed of the image's own captions
    text_to_image: np.ndarray  # rank of the caption's own image
    best_captions: np.ndarray  # the caption that scores highest for each image
    best_images: np.ndarray  # the image that scores highest for each caption


def _checked(scores: Array, caption_image: Array) -> tuple[Tensor, Tensor]:
    matrix = torch.as_tensor(scores)
    owner = torch.as_tensor(caption_image, device=matrix.device)
    if matrix.ndim != 2 or not matrix.is_floating_point() or not matrix.numel():
        raise InputError(
            f"similarities must be a floating point matrix [images, captions], not {tuple(matrix.shape)} "
            f"of {str(matrix.dtype).removeprefix('torch.')}; save them again"
        )
    n_images, n_captions = matrix.shape
    if owner.shape != (n_captions,):
        raise InputError(
            f"similarities are [{n_images}, {n_captions}], but the split has {owner.numel()} captions; "
            "they belong to another split or data set"
        )
    if owner.min() < 0 or owner.max() >= n_images:
        raise InputError(
            f"similarities have {n_images} images (rows), but a caption belongs to image "
            f"{int(owner.max() if owner.max() >= n_images else owner.min())}; they belong to another split or data set"
        )
    return matrix, owner.long()


def _blocks(matrix: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Consecutive rows of a matrix with the index of the first, `_BLOCK_ELEMENTS` at a time."""
    rows = max(1, _BLOCK_ELEMENTS // matrix.shape[1])
    for start in range(0, len(matrix), rows):
        yield start, matrix[start : start + rows]


def ranks(scores: Array, caption_image: Array) -> Ranks:
    """Rank the captions of every image and the images of every caption in one pass over the scores.

    An item's rank is the number of items that score higher, plus the equal ones of lower index; nothing is sorted.

    Args:
        scores: [N, M] similarity of every image (row) and caption (column), any floating point type, no NaN.
        caption_image: [M] row of the image that each caption describes; any number of captions per image.

    Raises:
        InputError: shapes that don't fit, or a NaN.
    """
    matrix, owner = _checked(scores, caption_image)
    n_images, n_captions = matrix.shape
    captions = torch.arange(n_captions, device=matrix.device)
    own_score = matrix[owner, captions]
    target_score = own_score.new_full((n_images,), -torch.inf).scatter_reduce(0, owner, own_score, "amax")
    is_target = own_score == target_score[owner]
    target = owner.new_full((n_images,), n_captions)
    target = target.scatter_reduce(0, owner[is_target], captions[is_target], "amin")

    image_to_text = torch.empty(n_images, dtype=torch.long, device=matrix.device)
    best_captions = torch.empty_like(image_to_text)
    text_to_image = torch.zeros_like(owner)
    best_images = torch.zeros_like(owner)
    best_score = torch.full_like(own_score, -torch.inf)
    for start, block in _blocks(matrix):
        rows = slice(start, start + len(block))
        if block.isnan().any():
            row = start + int(block.isnan().any(dim=1).int().argmax())
            raise InputError(
                f"similarities of image {row} hold NaN; check the features with `python -m vse check`, or train with a "
                "lower --learning_rate and --weight_decay"
            )
        images = torch.arange(rows.start, rows.stop, device=matrix.device)

        wanted = target_score[rows, None]
        ahead = (block > wanted) | ((block == wanted) & (captions < target[rows, None]))
        image_to_text[rows] = ahead.sum(dim=1, dtype=torch.int32).long()
        best_captions[rows] = block.argmax(dim=1)

        ahead = (block > own_score) | ((block == own_score) & (images[:, None] < owner))
        text_to_image += ahead.sum(dim=0, dtype=torch.int32)
        top_score, top = block.max(dim=0)
        best_images = torch.where(top_score > best_score, top + start, best_images)
        best_score = torch.maximum(best_score, top_score)

    described = target < n_captions
    return Ranks(
        image_to_text[described].cpu().numpy(),
        text_to_image.cpu().numpy(),
        best_captions[described].cpu().numpy(),
        best_images.cpu().numpy(),
    )


def recall(rank: np.ndarray, k: int) -> float:
    """Recall@k in percent: the share of queries whose 0-based rank is below k."""
    return 100.0 * float(np.mean(rank < k))


def mean_reciprocal_rank(rank: np.ndarray, k: int) -> float:
    """Compute the truncated MRR@k in percent: mean of 1 / (rank + 1), 0 from rank k on.

    This is what VSRN's IAPR TC-12 code prints as "precision at k".
    """
    return 100.0 * float(np.mean(np.where(rank < k, 1 / (rank + 1), 0.0)))


def metrics(ranks: Ranks) -> dict[str, float]:
    """Compute the field's metrics under their TensorBoard names, with the suffix `i` for text-to-image.

    r1 r5 r10: recall in percent; medr: floor of the median rank, from 1; meanr: mean rank, from 1; rsum: sum of the
    six recalls; ar, ari: mean of the three recalls of a direction; mrr5, mrr10: truncated mean reciprocal rank.
    """
    result: dict[str, float] = {}
    for suffix, rank in (("", ranks.image_to_text), ("i", ranks.text_to_image)):
        recalls = {f"r{k}{suffix}": recall(rank, k) for k in RECALL_AT}
        result |= recalls
        result[f"medr{suffix}"] = float(np.floor(np.median(rank))) + 1
        result[f"meanr{suffix}"] = float(np.mean(rank)) + 1
        result[f"ar{suffix}"] = sum(recalls.values()) / len(recalls)
        for k in RECALL_AT[1:]:
            result[f"mrr{k}{suffix}"] = mean_reciprocal_rank(rank, k)
    result["rsum"] = len(RECALL_AT) * (result["ar"] + result["ari"])
    return result


def nearest(scores: Tensor, k: int) -> Tensor:
    """[Q, G] scores -> [Q, k] the best k columns of each row, best first, the lower column first among equals."""
    found = torch.empty(len(scores), k, dtype=torch.long, device=scores.device)
    for start, block in _blocks(scores):
        values, columns = block.topk(k)
        # Which of several equal scores topk keeps is undefined: rows with a tie across the cut are sorted in full.
        unclear = (block >= values[:, -1:]).sum(dim=1, dtype=torch.int32) > k
        if unclear.any():
            full = block[unclear].sort(dim=1, descending=True, stable=True)
            values[unclear], columns[unclear] = full.values[:, :k], full.indices[:, :k]
        columns, by_column = columns.sort(dim=1)
        by_score = values.gather(1, by_column).argsort(dim=1, descending=True, stable=True)
        found[start : start + len(block)] = columns.gather(1, by_score)
    return found


def relevance(neighbours: Tensor, query: Tensor, item: Tensor, gallery: int) -> Tensor:
    """Mark the right answers among each query's nearest items -> bool [Q, k].

    Args:
        neighbours: [Q, k] items nearest to each query, best first.
        query: [P] row of `neighbours` of each pair of a query and a right answer; any number of answers a query.
        item: [P] the right answer of each of these pairs.
        gallery: number of items in the gallery.
    """
    rows = torch.arange(len(neighbours), device=neighbours.device)[:, None]
    return torch.isin(rows * gallery + neighbours, query * gallery + item)


def precision_at_r(relevant: Tensor, total: Tensor) -> dict[str, float]:
    """R-precision and mAP@R in percent over the queries that have right answers.

    R is the number of a query's right answers. R-precision is the share of right answers among the first R items;
    mAP@R also rewards their order (Musgrave et al. 2020; used for retrieval with several right answers by Chun et al.,
    PCME 2021 and ECCV Caption 2022). Where R is 1, both equal R@1.

    Args:
        relevant: [Q, k] bool from `relevance`; items beyond the k-th count as missed, so k is at least the largest R
            or the size of the gallery.
        total: [Q] number of right answers, those that the gallery lacks included.
    """
    total = total[:, None]
    position = torch.arange(1, relevant.shape[1] + 1, device=relevant.device)
    inside = relevant & (position <= total)
    precision = inside.cumsum(dim=1).double() / position
    answered = total[:, 0] > 0
    share = (inside.sum(dim=1, keepdim=True).double() / total)[answered]
    average = ((precision * inside).sum(dim=1, keepdim=True) / total)[answered]
    return {"rprecision": 100 * float(share.mean()), "map_at_r": 100 * float(average.mean())}


def hubness(neighbours: Tensor, gallery: int, suffix: str = "") -> dict[str, float]:
    """How unevenly a gallery is found (Radovanovic et al. 2010): statistics of the k-occurrence of its items.

    The k-occurrence of an item counts the queries that have it among their k nearest. `hub_skewness`: its third
    standardised moment over the gallery (0: even; large: few items answer everything); `hub_largest`: its maximum;
    `antihubs`: percentage of items that no query finds.

    Args:
        neighbours: [Q, k] gallery items nearest to each query.
        gallery: number of items in the gallery.
        suffix: appended to each name ("i" for text-to-image).
    """
    occurrence = neighbours.flatten().bincount(minlength=gallery).double()
    centred = occurrence - occurrence.mean()
    deviation = centred.square().mean().sqrt()
    skewness = float((centred / deviation).pow(3).mean()) if deviation > 0 else 0.0
    return {
        f"hub_skewness{suffix}": skewness,
        f"hub_largest{suffix}": float(occurrence.max()),
        f"antihubs{suffix}": 100 * float((occurrence == 0).double().mean()),
    }


def part(scores: Array, caption_image: Array, images: Tensor) -> tuple[Tensor, Tensor]:
    """Cut some images with all of their captions out of a split.

    Args:
        images: [n] rows to keep, in the order wanted.

    Returns:
        Their scores [n, m] and the caption_image [m] of their captions, numbered from 0.
    """
    matrix, owner = _checked(scores, caption_image)
    place = owner.new_full((len(matrix),), -1)
    place[images] = torch.arange(len(images), device=owner.device)
    inside = (place[owner] >= 0).nonzero()[:, 0]
    return matrix[images][:, inside], place[owner[inside]]


def folds(scores: Array, caption_image: Array, count: int = 5) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut a split into consecutive folds of images with their captions: COCO's 5,000 images into five 1K tests.

    Yields the scores [N / count, m] of each fold and its own caption_image [m], numbered from 0.
    """
    matrix, owner = _checked(scores, caption_image)
    if len(matrix) % count:
        raise InputError(
            f"--fold5 wants a number of images that {count} divides, the split has {len(matrix)}; "
            "evaluate COCO's testall split, or leave the flag out"
        )
    for images in torch.arange(len(matrix), device=matrix.device).chunk(count):
        yield part(matrix, owner, images)


def fold_ranks(scores: Array, caption_image: Array, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Rank every image with captions and every caption [M] within its own fold, see `folds`; 0-based, int64."""
    found = [ranks(*fold) for fold in folds(scores, caption_image, count)]
    fold_of_caption = np.asarray(torch.as_tensor(caption_image).cpu()) // (len(scores) // count)
    text_to_image = np.zeros(len(fold_of_caption), dtype=np.int64)
    for number, fold in enumerate(found):
        text_to_image[fold_of_caption == number] = fold.text_to_image
    return np.concatenate([fold.image_to_text for fold in found]), text_to_image


def evaluate(scores: Array, caption_image: Array, fold5: bool = False) -> dict[str, Any]:
    """Everything that is reported of a split, as plain numbers for a table or `--json`.

    Holds `metrics`, `rprecision` and `map_at_r`, hubness (k = 10) of both directions, and the numbers of images and
    captions. With `fold5` each number is the mean over five folds, whose own results are listed under "folds".

    Args:
        scores: [N, M] similarity of every image and caption.
        caption_image: [M] image of each caption.
        fold5: COCO's 1K protocol; without it 5,000 images are the 5K protocol.
    """
    if fold5:
        return mean_of_folds([evaluate(*fold) for fold in folds(scores, caption_image)])
    result: dict[str, Any] = metrics(ranks(scores, caption_image))
    matrix, owner = _checked(scores, caption_image)
    n_images, n_captions = matrix.shape
    k = max(HUB_NEIGHBOURS, int(owner.bincount().max()))
    captions = nearest(matrix, min(k, n_captions))
    images = nearest(matrix.T, min(HUB_NEIGHBOURS, n_images))
    own = relevance(captions, owner, torch.arange(n_captions, device=owner.device), n_captions)
    result |= precision_at_r(own, owner.bincount(minlength=n_images))
    result |= hubness(captions[:, :HUB_NEIGHBOURS], n_captions)
    result |= hubness(images, n_images, suffix="i")
    return result | {"images": n_images, "captions": n_captions}


def mean_of_folds(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the results of `evaluate` on several folds; their own results are listed under "folds"."""
    return {name: float(np.mean([fold[name] for fold in parts])) for name in parts[0]} | {"folds": parts}
