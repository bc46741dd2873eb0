"""Evaluate the scores of any model: the protocols that apply to a split, before and after hubness corrections."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from vse.data.ids import SplitIds
from vse.errors import InputError
from vse.evaluation.banks import Banks
from vse.evaluation.corrections import CORRECTIONS
from vse.evaluation.eccv import evaluate_coco
from vse.evaluation.ranking import RECALL_AT, evaluate

TIES = "among equal scores the lower index comes first, as in a stable descending sort"

_BLOCK_ELEMENTS = 2**22


def evaluate_scores(scores: Tensor, split: SplitIds, fold5: bool = False, coco: bool = False) -> dict[str, Any]:
    """Evaluate a score matrix [N, M] of a split by every protocol asked for, as plain numbers.

    Holds what `vse.evaluation.ranking.evaluate` returns; `ties`, how many images and captions have a wrong item that
    scores exactly what their best right one does, and the rule that decides; `without_captions`, the rows of images
    that no caption belongs to, which are not asked for; with `fold5` the mean over five folds of consecutive images;
    with `coco` what `vse.evaluation.eccv.evaluate_coco` returns.

    Raises:
        InputError: the scores do not fit the split, or hold NaN; with `coco`, the ids are not those of MS-COCO's test.
    """
    owner = torch.from_numpy(split.caption_image)
    result = evaluate(scores, owner)
    images, captions = count_ties(scores, owner)
    result["ties"] = {"rule": TIES, "image_to_text": images, "text_to_image": captions}
    described = np.bincount(split.caption_image, minlength=split.images) > 0
    result["without_captions"] = np.flatnonzero(~described).tolist()
    if coco:
        result |= evaluate_coco(scores, split)
    elif fold5:
        result["fold5"] = evaluate(scores, owner, fold5=True)
    return result


def evaluate_corrected(
    scores: Tensor, split: SplitIds, name: str, banks: Banks, constants: Mapping[str, float], **protocols: bool
) -> dict[str, Any]:
    """`evaluate_scores` after a correction, each direction of retrieval by its own bank.

    One corrected matrix exists at a time, besides the scores.

    Args:
        name: one of `vse.evaluation.corrections.CORRECTIONS`.
        constants: of the correction, where the published ones are not wanted.
        protocols: `fold5`, `coco`.
    """
    correction = CORRECTIONS[name](banks.images, **constants)
    found_captions = evaluate_scores(correction.apply(scores), split, **protocols)
    correction = CORRECTIONS[name](banks.captions, **constants)
    found_images = evaluate_scores(correction.apply(scores.T).T, split, **protocols)
    result = by_direction(found_captions, found_images)
    return result | {"bank": banks.title, "transductive": banks.transductive, "constants": dict(constants)}


def by_direction(image_to_text: Mapping[str, Any], text_to_image: Mapping[str, Any]) -> dict[str, Any]:
    """Join two evaluations: of the first the numbers of image-to-text, of the second those with the suffix `i`."""
    result: dict[str, Any] = {}
    for name, value in image_to_text.items():
        other = text_to_image[name]
        if name.endswith("i"):
            result[name] = other
        elif name == "folds":
            result[name] = [by_direction(*pair) for pair in zip(value, other, strict=True)]
        elif name == "ties":
            result[name] = value | {"text_to_image": other["text_to_image"]}
        elif name in ("fold5", "cxc", "eccv"):
            result[name] = by_direction(value, other)
        else:
            result[name] = value
    if "rsum" in result:
        result["rsum"] = len(RECALL_AT) * (result["ar"] + result["ari"])
    return result


def count_ties(scores: Tensor, caption_image: Tensor) -> tuple[int, int]:
    """Count the images, and the captions, whose best right item scores exactly what a wrong one does.

    Args:
        scores: [N, M].
        caption_image: [M] image of each caption.
    """
    own = scores[caption_image, torch.arange(len(caption_image))]
    best = own.new_full((len(scores),), torch.inf).scatter_reduce(0, caption_image, own, "amax", include_self=False)
    images, captions = 0, torch.zeros(len(caption_image), dtype=torch.bool)
    rows = max(1, _BLOCK_ELEMENTS // scores.shape[1])
    for first in range(0, len(scores), rows):
        block = scores[first : first + rows]
        wrong = torch.arange(first, first + len(block))[:, None] != caption_image
        images += int(((block == best[first : first + rows, None]) & wrong).any(dim=1).sum())
        captions |= ((block == own) & wrong).any(dim=0)
    return images, int(captions.sum())


def parse_correction(text: str) -> tuple[str, dict[str, float]]:
    """`csls` or `csls:k=20` or `nnn:k=64,weight=0.5` -> the name of a correction and its constants.

    Raises:
        InputError: there is no such correction, or it has no such constant.
    """
    name, _, rest = text.partition(":")
    if name not in CORRECTIONS:
        raise InputError(f"--correct {text}: no such correction; expected one of {', '.join(CORRECTIONS)}")
    known = {
        key: type(parameter.default)
        for key, parameter in signature(CORRECTIONS[name]).parameters.items()
        if key != "bank"
    }
    constants: dict[str, float] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        try:
            constants[key] = known[key](value)
        except (KeyError, ValueError):
            constants[key] = 0
        if not 0 < constants[key] < float("inf"):
            wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in known.items())
            raise InputError(
                f"--correct {text}: {item!r} sets no constant of {name}; expected positive numbers for {wanted}, "
                f"as in {name}:{next(iter(known))}=10"
            )
    return name, constants


def protocol_table(metrics: Mapping[str, Any], title: str) -> str:
    """Format COCO 1K, COCO 5K, CxC and ECCV Caption, in percent, with what of the ground truths had no part."""
    rows = []
    for protocol, key in (("COCO 1K x 5", "fold5"), ("COCO 5K", ""), ("CxC", "cxc"), ("ECCV Caption", "eccv")):
        values = metrics[key] if key else metrics
        for direction, suffix in (("image to text", ""), ("text to image", "i")):
            queries = values.get(f"queries{suffix}", values.get("captions" if suffix else "images"))
            columns = [values[f"r{k}{suffix}"] for k in RECALL_AT]
            # A caption has one image of its own: mAP@R and R-precision are R@1.
            columns += [values.get(f"{name}{suffix}", values[f"r1{suffix}"]) for name in ("map_at_r", "rprecision")]
            rows.append([protocol, direction, *columns, f"{queries:.0f}"])
    headers = ["protocol", "direction", "R@1", "R@5", "R@10", "mAP@R", "R-precision", "queries"]
    lines = [title, tabulate(rows, headers=headers, floatfmt=("", "", ".1f", ".1f", ".1f", ".2f", ".2f", ""))]
    lines.append(f"caption ids: {metrics['caption_ids']}")
    for key, name in (("cxc", "CxC"), ("eccv", "ECCV Caption")):
        for suffix, query, item in (("", "images", "captions"), ("i", "captions", "images")):
            without, absent = metrics[key][f"without{suffix}"], metrics[key][f"absent{suffix}"]
            if without["count"]:
                lines.append(
                    f"{name}: {without['count']} {query} have no right answer, not asked for: {without['ids']}"
                )
            if absent["count"]:
                lines.append(
                    f"{name}: {absent['count']} {item} are not in the split, counted as missed: {absent['ids']}"
                )
    return "\n".join(lines)


def correction_table(raw: Mapping[str, Any], corrected: Mapping[str, Mapping[str, Any]], coco: bool) -> str:
    """Format recalls and hubness of the raw scores and of each correction, one row each, in percent."""
    columns = {f"i2t R@{k}": f"r{k}" for k in RECALL_AT} | {f"t2i R@{k}": f"r{k}i" for k in RECALL_AT}
    columns |= {"rsum": "rsum", "hubs i2t": "hub_skewness", "hubs t2i": "hub_skewnessi"}
    rows = [
        [name, *(values[column] for column in columns.values())] for name, values in [("raw", raw), *corrected.items()]
    ]
    headers = ["", *columns]
    if coco:
        headers += ["ECCV mAP i2t", "t2i"]
        for row, values in zip(rows, (raw, *corrected.values()), strict=True):
            row += [values["eccv"]["map_at_r"], values["eccv"]["map_at_ri"]]
    return tabulate(rows, headers=headers, floatfmt=("", *[".1f"] * 7, *[".2f"] * 4))
