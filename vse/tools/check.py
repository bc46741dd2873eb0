"""`python -m vse check PATH`: content and problems of a data set folder, and how to fix them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from vse.console import say
from vse.data.datasets import search_data_set
from vse.published.sets import PUBLISHED_SETS
from vse.tools.inspection import Findings, inspect
from vse.tools.options import CheckOptions


def main(options: CheckOptions) -> None:
    """Print a table of the splits, what each derived file was made from, and a line for each problem.

    The exit status is 2 if there is any problem.

    Raises:
        InputError: no such data set, or a raw one that cannot be read.
    """
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        folder = search_data_set(options.path, options.data_name)
        findings = inspect(folder, options.data_name)
    counts = {row["split"]: (row["images"], row["captions"]) for row in findings.splits}
    if options.json:
        say(json.dumps({"folder": str(folder), "counts_of": recognised(counts), **findings.plain()}, indent=1))
    else:
        _print(folder, findings, counts)
    if findings.problems:
        sys.exit(2)


def _print(folder: Path, findings: Findings, counts: dict[str, tuple[int, int]]) -> None:
    say(f"{folder}\n{_table(findings.splits)}\n")
    say(f"the counts are those of {recognised(counts) or 'no published data set'}")
    for note in findings.notes:
        say(note)
    if findings.derived:
        say("\n" + tabulate(findings.derived, headers="keys", disable_numparse=True) + "\n")
    else:
        say("no derived file records its source")
    for sentence in findings.problems:
        say(f"problem: {sentence}")
    if not findings.problems:
        say("no problems found")


def _table(splits: list[dict[str, Any]]) -> str:
    """Lay the facts out, a column for each split; rows that say nothing of any split are left out."""
    columns = [_facts(split) for split in splits]
    rows = [[name, *(column[name] for column in columns)] for name in (columns[0] if columns else ())]
    rows = [row for row in rows if any(row[1:])]
    return tabulate(
        rows[1:], headers=rows[0] if rows else (), disable_numparse=True, stralign="right", colalign=("left",)
    )


def _facts(split: dict[str, Any]) -> dict[str, str]:
    per_image = split["captions_per_image"]
    features = split["features"] or {}
    pictures = split["pictures"] or {}
    unknown = split["unknown_words"]
    return {
        "split": split["split"],
        "images": f"{split['images']:,}",
        "captions": f"{split['captions']:,}",
        "per image, min / median / max": f"{per_image['min']} / {per_image['median']:g} / {per_image['max']}",
        "empty captions": str(split["empty_captions"]),
        "unknown words": "?" if unknown is None else f"{unknown:.1%}",
        "captions also in train": "" if split["captions_in_train"] is None else f"{split['captions_in_train']:,}",
        "images in other splits": ", ".join(f"{count:,} in {other}" for other, count in split["shared_images"].items())
        or "0",
        "shape of an image": f"{features['shape']} {features['dtype']}" if features else "a picture",
        "regions": "{min} ... {max}".format(**features["regions"]) if features.get("regions") else "",
        "NaN rows": str(features.get("not_finite", "")),
        "zero rows": str(features.get("zero", "")),
        "missing pictures": str(pictures.get("missing", "")),
        "boxes": split["boxes"] or "none",
        "ids": split["ids"] or "none",
    }


def recognised(counts: dict[str, tuple[int, int]]) -> str | None:
    """Name the published data set that has these counts of images and captions."""
    for name, published in PUBLISHED_SETS.items():
        shared = [split for split in counts if published.get(split) == counts[split]]
        if "train" in shared:
            missing = [split for split in published if split not in shared]
            return name + (f", without a whole {', '.join(missing)}" if missing else ", complete")
    return None
