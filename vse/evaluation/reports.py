"""What an evaluation prints and saves: the recall table, the metrics as JSON, and a table of several runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import orjson
from tabulate import tabulate

from vse.errors import InputError
from vse.evaluation.ranking import HUB_NEIGHBOURS
from vse.files import write_atomically

_COLUMNS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "median rank", "meanr": "mean rank"}

_COMPARED = ("r1", "r5", "r10", "r1i", "r5i", "r10i", "rsum", "hub_skewness", "hub_skewnessi")


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


def load_json(path: str | Path) -> dict[str, Any]:
    """Read the metrics that `save_json` wrote.

    Raises:
        InputError: no such file, not JSON, or not the metrics of an evaluation.
    """
    remedy = "expected what an evaluation script writes with --json"
    try:
        metrics = orjson.loads(Path(path).read_bytes())
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); {remedy}") from None
    except orjson.JSONDecodeError as problem:
        raise InputError(f"{path}: not JSON ({problem}); {remedy}") from None
    missing = [name for name in _COMPARED if not isinstance(metrics, dict) or name not in metrics]
    if missing:
        raise InputError(f"{path}: holds no {missing[0]}; {remedy}")
    return metrics


def compare(paths: Iterable[str | Path]) -> str:
    """Metrics files of several runs -> a Markdown table: mean and standard deviation over the seeds of each run.

    A run is named by its file, or by its folder where several files bear one name; what follows a final `seed` (as in
    `lseh_seed3.json`) tells its seeds apart. The deviation is that of a sample (n - 1) and is left out for one seed.

    Raises:
        InputError: a file that does not hold metrics.
    """
    files = [Path(path) for path in paths]
    stems = [file.stem for file in files]
    names = stems if len(set(stems)) == len(stems) else [f"{file.parent.name}/{file.stem}" for file in files]
    runs: dict[str, list[dict[str, Any]]] = {}
    for name, file in zip(names, files, strict=True):
        runs.setdefault(re.sub(r"[-_ ]?seed[-_ =]?\d+", "", name), []).append(load_json(file))
    headers = ["run", "i2t R@1", "R@5", "R@10", "t2i R@1", "R@5", "R@10", "rsum", "hubs i2t", "hubs t2i", "seeds"]
    rows = [[name, *(_mean_and_deviation(run, column) for column in _COMPARED), len(run)] for name, run in runs.items()]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, stralign="right")


def _mean_and_deviation(run: list[dict[str, Any]], column: str) -> str:
    values = [metrics[column] for metrics in run]
    digits = 2 if column.startswith("hub") else 1
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"
