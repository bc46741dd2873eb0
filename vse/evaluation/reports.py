"""Output of an evaluation: the recall table, and metrics, per-query ranks and record as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import orjson
import torch
from tabulate import tabulate
from torch import Tensor

from vse.errors import InputError
from vse.evaluation.ranking import HUB_NEIGHBOURS, fold_ranks, ranks
from vse.evaluation.significance import METRICS
from vse.files import read_bytes, write_atomically
from vse.records import environment, now

_COLUMNS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "median rank", "meanr": "mean rank"}


def recall_table(metrics: Mapping[str, Any], title: str) -> str:
    """Format the result of `vse.evaluation.ranking.evaluate`: recall in percent, ranks from 1, rsum, hubness."""
    rows = [
        [name, *(metrics[column + suffix] for column in _COLUMNS)]
        for name, suffix in (("image to text", ""), ("text to image", "i"))
    ]
    table = tabulate(rows, headers=["", *_COLUMNS.values()], floatfmt=("", ".1f", ".1f", ".1f", ".1f", ".2f"))
    size = f"{metrics['images']:.0f} images, {metrics['captions']:.0f} captions"
    if "folds" in metrics:
        size = f"mean of {len(metrics['folds'])} folds of {size}"
    hubs = "; ".join(
        f"{gallery} skewness {metrics[f'hub_skewness{suffix}']:.2f}, largest {metrics[f'hub_largest{suffix}']:.0f}, "
        f"never found {metrics[f'antihubs{suffix}']:.1f} %"
        for gallery, suffix in (("captions", ""), ("images", "i"))
    )
    means = f"{metrics['ar']:.1f} image to text, {metrics['ari']:.1f} text to image"
    return (
        f"{title} ({size})\n{table}\nrsum {metrics['rsum']:.1f}, mean recall {means}\n"
        f"hubness ({HUB_NEIGHBOURS} nearest): {hubs}"
    )


def save_json(path: str | Path, metrics: Mapping[str, Any]) -> None:
    """Write plain values as indented JSON; the file appears whole or not at all."""
    content = orjson.dumps(metrics, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    write_atomically(path, lambda file: file.write(content))


@dataclass(frozen=True)
class Evaluation:
    """Content of a result file."""

    path: Path
    metrics: dict[str, Any]
    image_to_text: np.ndarray  # 0-based rank of every image that has captions, int64
    text_to_image: np.ndarray  # [M] 0-based rank of every caption, int64
    caption_image: np.ndarray  # [M] image of every caption, int64
    record: dict[str, Any]


def evaluation_record(
    models: Sequence[Mapping[str, Any]], data: Mapping[str, Any], device: torch.device, protocol: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the record of an evaluation, as plain values; results are compared by it.

    Args:
        models: what was evaluated (several: the mean of their scores): a checkpoint with `path`, `weights_sha256` and
            `record`, the run record in it, None if it has none; or somebody else's scores, with `path` and
            `scores_sha256`.
        data: of the split, see `vse.data.digests`.
        protocol: what makes results unlike besides the data, such as a correction of hubness and its constants.
    """
    return {
        "kind": "evaluation",
        "models": [dict(model) for model in models],
        "data": dict(data),
        "protocol": dict(protocol),
        "environment": environment(device),
        "made": now(),
    }


def save_evaluation(
    path: str | Path,
    metrics: Mapping[str, Any],
    scores: Tensor,
    caption_image: np.ndarray,
    record: Mapping[str, Any],
) -> None:
    """Write metrics, per-query ranks and record as one JSON file; it appears whole or not at all.

    The ranks are 0-based and stand as numbers between blanks in one string each, so that the file stays readable:
    `numpy.fromstring(text, dtype=int, sep=" ")`. If the metrics have `fold5`, the ranks within the folds are kept too.

    Args:
        metrics: result of `vse.evaluation.ranking.evaluate`, and whatever else is to be kept beside it.
        scores: [N, M] of the whole split.
        caption_image: [M] image of each caption.
        record: result of `evaluation_record`.
    """
    found = ranks(scores, caption_image)
    arrays = {
        "image_to_text": found.image_to_text,
        "text_to_image": found.text_to_image,
        "caption_image": caption_image,
    }
    if "fold5" in metrics:
        arrays |= zip(("fold5_image_to_text", "fold5_text_to_image"), fold_ranks(scores, caption_image), strict=True)
    texts = {name: " ".join(map(str, np.asarray(array).tolist())) for name, array in arrays.items()}
    save_json(path, {**metrics, "ranks": texts, "record": record})


def load_evaluation(path: str | Path, fold5: bool = False) -> Evaluation:
    """Read what `save_evaluation` wrote.

    Args:
        fold5: metrics and ranks are those within the five folds; the protocol in the record says so.

    Raises:
        InputError: no such file, not JSON, not the metrics of an evaluation, without a record, without folds, or
            damaged.
    """
    path = Path(path)
    remedy = "expected what an evaluation script writes with --json"
    try:
        content = orjson.loads(read_bytes(path))
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); {remedy}") from None
    except orjson.JSONDecodeError as problem:
        raise InputError(f"{path}: not JSON ({problem}); {remedy}") from None
    if not isinstance(content, dict) or "rsum" not in content:
        raise InputError(f"{path}: holds no rsum; {remedy}")
    record, texts = content.pop("record", None), content.pop("ranks", None)
    if record is None or texts is None:
        raise InputError(
            f"{path}: metrics without a record of network, options, seed and data, as earlier versions wrote them; "
            "evaluate the checkpoint again with --json"
        )
    try:
        arrays = {name: np.array(text.split(), dtype=np.int64) for name, text in texts.items()}
        in_folds = {
            name: arrays.pop(f"fold5_{name}")
            for name in ("image_to_text", "text_to_image")
            if f"fold5_{name}" in arrays
        }
        if fold5:
            if "fold5" not in content or len(in_folds) < 2:
                raise InputError(f"{path}: evaluated without --fold5; evaluate again with it")
            content, arrays = content["fold5"], arrays | in_folds
            record = record | {"protocol": record["protocol"] | {"folds": 5}}
        found = Evaluation(path, content, record=record, **arrays)
        images, captions = record["data"]["images"], record["data"]["captions"]
        whole = len(found.text_to_image) == len(found.caption_image) == captions
        if not whole or len(found.image_to_text) != len(np.unique(found.caption_image)):
            raise ValueError
        ends = (found.image_to_text, captions), (found.text_to_image, images), (found.caption_image, images)
        if any(array.min() < 0 or array.max() >= end for array, end in ends):
            raise ValueError
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise InputError(f"{path}: its ranks do not fit its record; the file is damaged, evaluate again") from None
    if not _is_record(record):
        raise InputError(f"{path}: its record is incomplete; the file is damaged, evaluate again")
    for name, value in found.metrics.items():
        if name in METRICS and not isinstance(value, (int, float)):
            raise InputError(f"{path}: {name} is {value}, which its ranks do not give; evaluate again")
    return found


def _is_record(record: Mapping[str, Any]) -> bool:
    """Whether the parts of a record of an evaluation are there."""
    models = record.get("models")
    return (
        isinstance(record.get("protocol"), dict)
        and isinstance(made := record.get("environment"), dict)
        and isinstance(command := made.get("command"), list)
        and all(isinstance(word, str) for word in command)
        and isinstance(models, list)
        and len(models) > 0
        and all(isinstance(model, dict) and isinstance(model.get("record"), (dict, NoneType)) for model in models)
    )
