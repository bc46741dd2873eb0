"""`python -m vse judge SCORES --annotations FILE --data FOLDER`: scores against human judgments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from vse.console import say, warn
from vse.data.ids import SplitIds, find_folder, open_split_ids
from vse.descriptions import sentence
from vse.descriptions.kinds import read_vectors
from vse.errors import InputError
from vse.evaluation.arrays import read_matrix
from vse.evaluation.judgments import description_scores, judge, nearest_is_sibling, read_split_judgments
from vse.evaluation.reports import save_json
from vse.text.captions import read_captions
from vse.tools.options import JudgeOptions


def main(options: JudgeOptions) -> None:
    """Print correlations, nDCG and mAP of foreign pairs and of all pairs.

    Raises:
        InputError: files that cannot be read or do not belong together.
    """
    if (options.scores is None) == (options.descriptions is None):
        raise InputError("give either SCORES or --descriptions to judge")
    folder = find_folder(options.data)
    scores = None if options.scores is None else read_matrix(options.scores).numpy()
    split = open_split_ids(folder, options.split, None if scores is None else len(scores))
    judgments = read_split_judgments(options.annotations, folder, split.name, split.images, split.caption_image)
    metrics: dict[str, Any] = {}
    if scores is not None:
        if scores.shape[1] != len(split.caption_image):
            raise InputError(
                f"{options.scores}: scores of {scores.shape[1]} captions, {split.title} has {len(split.caption_image)}"
                "; expected [images, captions]"
            )
        of_pairs = scores[judgments.image, judgments.caption]
    else:
        vectors = _vectors(options, folder, split)
        metrics["nearest_is_sibling"] = nearest_is_sibling(vectors, split.caption_image)
        of_pairs = description_scores(vectors, judgments, split.caption_image)
    scored = np.isfinite(of_pairs)
    if not scored.all():
        warn(f"{int((~scored).sum())} of {len(scored)} judged pairs have no finite score and are left out")
        judgments, of_pairs = judgments.keep(scored), of_pairs[scored]
    metrics |= judge(of_pairs, judgments, split.caption_image, options.resamples)
    metrics |= {"form": judgments.kind, "left_out": judgments.left_out, "without_score": int((~scored).sum())}
    say(_table(metrics, f"{options.scores or options.descriptions} on {split.title}, {Path(options.annotations).name}"))
    if options.json is not None:
        save_json(options.json, metrics)


def _vectors(options: JudgeOptions, folder: Path, split: SplitIds) -> np.ndarray:
    """Vectors of the split's captions; nothing is written."""
    captions = split.captions or []
    if options.descriptions == "sentence":
        return sentence.encode(captions, options.sentence_encoder)
    if options.descriptions == "svd":
        from vse.descriptions.svd import fit  # its libraries take seconds to import

        train = folder / "train_caps.txt"
        others = read_captions(train) if train.is_file() and split.name != "train" else []
        say(f"SVD vectors fitted on {len(others)} captions of train and the {len(captions)} of {split.name}")
        return fit([*others, *captions], source=folder).vectors[len(others) :]
    return read_vectors(str(options.descriptions), len(captions), folder / f"{split.name}_caps.txt")


def _table(metrics: dict[str, Any], title: str) -> str:
    rows = []
    for name in ("foreign", "all"):
        found = metrics[name]
        if not found["pairs"]:
            continue
        for measure in ("spearman", "kendall"):
            rows.append([f"{name} pairs", measure, "", *_cells(found[measure]), found["pairs"], ""])
        for direction in ("image_to_text", "text_to_image"):
            for measure, label in (("ndcg", "nDCG"), ("map", "mAP")):
                value = found[direction][measure]
                label_of = direction.replace("_", " ")
                rows.append([f"{name} pairs", label, label_of, *_cells(value), value["queries"], value["without"]])
    headers = ["", "measure", "direction", "value", "95 % interval", "pairs or queries", "left out"]
    lines = [title, tabulate(rows, headers=headers, disable_numparse=True)]
    relevant = "median grade of at least 3" if metrics["form"] == "expert" else "at least half of the votes yes"
    lines.append(
        f"relevant: {relevant}; "
        "left out: queries without a relevant pair (mAP) or a gain (nDCG); intervals: bootstrap over queries"
    )
    if "nearest_is_sibling" in metrics:
        lines.append(f"nearest other caption is of the same image: {metrics['nearest_is_sibling']:.1f} % of captions")
    return "\n".join(lines)


def _cells(value: dict[str, float]) -> list[str]:
    return [f"{value['value']:.3f}", f"{value['low']:.3f} to {value['high']:.3f}"]
