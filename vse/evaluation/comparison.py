"""Compare results: group them into rows, check that rows are comparable, and compute their differences."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from vse.errors import InputError
from vse.evaluation.reports import Evaluation, load_evaluation
from vse.evaluation.row_names import pick, row_names, short
from vse.evaluation.significance import (
    METRICS,
    bootstrap_interval,
    holm,
    mean_difference,
    permutation_p,
    query_hits,
    seeds_needed,
    seeds_p,
)
from vse.evaluation.tables import Cell, Format, Spread, spread
from vse.files import read_bytes
from vse.losses.table import canonical_name
from vse.records import WITHOUT_EFFECT

COLUMNS = {
    "r1": "i2t R@1",
    "r5": "R@5",
    "r10": "R@10",
    "r1i": "t2i R@1",
    "r5i": "R@5",
    "r10i": "R@10",
    "rsum": "rsum",
    "hub_skewness": "hubs i2t",
    "hub_skewnessi": "hubs t2i",
}
"""Metric -> head of its column."""

Seed = tuple[Any, ...]


@dataclass
class Row:
    """A configuration: one result for every seed."""

    configuration: dict[str, Any]
    results: dict[Seed, Evaluation]
    name: str = ""
    chosen: set[str] = field(default_factory=set)  # keys of the configuration that commands set

    def values(self, metric: str) -> list[float]:
        """Return the metric of every seed."""
        return [float(result.metrics[metric]) for result in self.results.values()]

    def trainings(self) -> list[dict[str, Any]]:
        """Return the records of the runs that trained its models, of every seed; of some nothing is recorded."""
        return [m["record"] for result in self.results.values() for m in result.record["models"] if m["record"]]


def find_evaluations(paths: Iterable[str | Path], fold5: bool = False) -> list[Evaluation]:
    """Read results, from files and from all of folders; a file that is named twice is read once.

    In a folder, JSON files that hold no metrics (`run.json`, `options.json`) are passed over; damaged ones are not.

    Args:
        fold5: read the means over five folds and the ranks within them.

    Raises:
        InputError: a file is no result, or a folder holds none.
    """
    found: dict[Path, Evaluation] = {}
    for path in map(Path, paths):
        files = [path]
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*.json")) if _holds_metrics(file)]
            if not files:
                raise InputError(
                    f"{path}: no results in this folder; expected what evaluation scripts write with --json"
                )
        for file in files:
            if file.resolve() not in found:
                found[file.resolve()] = load_evaluation(file, fold5)
    return list(found.values())


def unfinished_runs(paths: Iterable[str | Path]) -> list[Path]:
    """List the run folders in folders of results whose run has not ended: it goes on, or was cut off."""
    records = sorted({record for path in map(Path, paths) for record in path.rglob("run.json")})
    contents = [(record.parent, orjson.loads(record.read_bytes())) for record in records]
    return [folder for folder, content in contents if isinstance(content, dict) and content.get("ended") is None]


def rows_of(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Gather results into rows by their records: what was trained, with which options, on which data, but for the seed.

    Raises:
        InputError: results of other data or protocols, a seed twice in a row, a model that nothing is known of, or a
            file in which metrics, ranks and record do not agree.
    """
    refuse_unlike(evaluations)
    rows: dict[str, Row] = {}
    for result in evaluations:
        _check_metrics(result)
        try:
            configuration, seed, chosen = _identify(result)
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{result.path}: its record is incomplete; the file is damaged, evaluate again") from None
        row = rows.setdefault(_digest(configuration), Row(configuration, {}))
        if seed in row.results:
            same = "model" if set(seed) == {None} else f"seed {_seed_text(seed)} of the same configuration"
            raise InputError(f"{result.path}: the same {same} as {row.results[seed].path}; give one of them")
        row.results[seed] = result
        row.chosen |= chosen
    for row in rows.values():
        row.results = dict(sorted(row.results.items(), key=lambda item: [str(part).zfill(12) for part in item[0]]))
    found = list(rows.values())
    names = row_names([row.configuration for row in found], [row.chosen for row in found])
    for row, name in zip(found, names, strict=True):
        row.name = name
    return found


def refuse_unlike(evaluations: Sequence[Evaluation]) -> None:
    """Refuse results that cannot stand in one table.

    Raises:
        InputError: other data, splits or protocols; the first difference with both values.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        for part, keys in (
            ("data", ("name", "images", "captions", "captions_sha256", "caption_image_sha256")),
            ("protocol", tuple({**first.record["protocol"], **other.record["protocol"]})),
        ):
            for key in keys:
                one, two = first.record[part].get(key), other.record[part].get(key)
                if one != two:
                    raise InputError(
                        f"{other.path}: {part} {key.replace('_', ' ')} {short(two)}, while {first.path} has "
                        f"{short(one)}; results of other data, splits or protocols cannot stand in one table"
                    )


def chosen_in_warmup(record: Mapping[str, Any]) -> bool:
    """Whether a run's best model is from its warm-up, so that its objective itself has taken no step."""
    warmup, best = record["options"].get("warmup_epochs"), record.get("best_epoch")
    return bool(warmup) and best is not None and best <= warmup


def metrics_cells(rows: Sequence[Row], form: Format = "markdown") -> tuple[list[str], list[list[Cell]]]:
    """Mean and sample deviation over the seeds of each row, as heads and cells of a table."""
    heads = ["run", *(COLUMNS if form == "csv" else COLUMNS.values()), "seeds"]
    cells: list[list[Cell]] = [
        [
            row.name,
            *(spread(row.values(metric), 2 if metric.startswith("hub") else 1) for metric in COLUMNS),
            str(len(row.results)),
        ]
        for row in rows
    ]
    return heads, cells


class Difference(NamedTuple):
    """Difference of a row from the row that it is compared with."""

    name: str
    seeds: list[Seed]  # that both rows have
    change: Spread  # over these seeds
    interval: tuple[float, float]  # 95 %, over images with their captions
    queries_p: float
    seeds_p: float | None
    seeds_needed: int | None


def differences(rows: Sequence[Row], against: Row, metric: str = "rsum") -> list[Difference]:
    """Compare every other row with one, paired by seed; p-values are corrected for the number of rows.

    Raises:
        InputError: there is no other row, or one shares no seed with it.
    """
    if len(rows) < 2:
        raise InputError(f"{against.name} is the only row; give results of another configuration to compare it with")
    found = []
    for row in rows:
        if row is against:
            continue
        seeds = [seed for seed in row.results if seed in against.results]
        pairs = [(row.results[seed], against.results[seed]) for seed in seeds]
        if not seeds and len(row.results) == len(against.results) == 1 and not _seeds_known(row, against):
            seeds = list(row.results)
            pairs = list(zip(row.results.values(), against.results.values(), strict=True))
        if not seeds:
            ours, theirs = (", ".join(map(_seed_text, part.results)) for part in (row, against))
            raise InputError(
                f"{row.name}: seeds {ours}, while {against.name} has {theirs}; differences are paired by seed, "
                "train both with the same seeds"
            )
        changes = [float(ours.metrics[metric]) - float(theirs.metrics[metric]) for ours, theirs in pairs]
        hits = [
            [query_hits(r.image_to_text, r.text_to_image, r.caption_image, metric) for r in side]
            for side in zip(*pairs, strict=True)
        ]
        difference = mean_difference(*hits)
        found.append(
            Difference(
                row.name,
                seeds,
                spread(changes),
                bootstrap_interval(difference),
                permutation_p(difference.shares()),
                seeds_p(changes),
                seeds_needed(changes),
            )
        )
    over_queries, over_seeds = (holm([getattr(d, name) for d in found]) for name in ("queries_p", "seeds_p"))
    return [
        difference._replace(queries_p=float(q or 0.0), seeds_p=s)
        for difference, q, s in zip(found, over_queries, over_seeds, strict=True)
    ]


def differences_cells(
    found: Sequence[Difference], metric: str, against: str, form: Format = "markdown"
) -> tuple[list[str], list[list[Cell]]]:
    """Differences as heads and cells of a table; see `DIFFERENCES_NOTE` for what the columns mean."""
    head = f"{metric} less that of {against}"
    if form == "csv":
        heads = ["run", head, "95 % low", "95 % high", "p, queries", "p, seeds", "paired seeds", "needed"]
        return heads, [
            [
                item.name,
                item.change,
                *map(str, item.interval),
                str(item.queries_p),
                "" if item.seeds_p is None else str(item.seeds_p),
                ", ".join(map(_seed_text, item.seeds)),
                "" if item.seeds_needed is None else str(item.seeds_needed),
            ]
            for item in found
        ]
    return ["run", head, "95 %, queries", "p, queries", "p, seeds", "seeds", "needed"], [
        [
            item.name,
            item.change.text(sign="+"),
            f"{item.interval[0]:+.1f} to {item.interval[1]:+.1f}",
            _p_text(item.queries_p),
            "" if item.seeds_p is None else _p_text(item.seeds_p),
            ", ".join(map(_seed_text, item.seeds)),
            _needed_text(item),
        ]
        for item in found
    ]


DIFFERENCES_NOTE = (
    "Differences are paired by seed, mean ± sample deviation. The interval (bootstrap) and p over queries "
    "(permutation) are about other images and captions for these trained models; p over seeds (paired t-test) is about "
    "other runs. Both p are corrected for the number of rows (Holm). needed: seeds of each row for a t-test at 5 % to "
    "see such a difference with 80 % power."
)


def pick_row(rows: Sequence[Row], wanted: str) -> Row:
    """Return the row that is meant, see `vse.evaluation.row_names.pick`."""
    return rows[pick([row.name for row in rows], wanted)]


def _holds_metrics(path: Path) -> bool:
    try:
        content = orjson.loads(read_bytes(path))
    except (OSError, orjson.JSONDecodeError):
        return True  # whoever reads it says what is wrong
    return isinstance(content, dict) and "rsum" in content


def _check_metrics(result: Evaluation) -> None:
    """Refuse metrics that are no numbers, or recalls that are not those of the ranks.

    Means over folds of different size are not those of all ranks together, and are taken as they are.

    Raises:
        InputError: which metric.
    """
    ranks = result.image_to_text, result.text_to_image, result.caption_image
    for name in COLUMNS:
        value = result.metrics.get(name)
        right = isinstance(value, (int, float)) and math.isfinite(value)
        if isinstance(value, (int, float)) and name in METRICS and "folds" not in result.record["protocol"]:
            right = math.isclose(value, query_hits(*ranks, name).value(), abs_tol=1e-6)
        if not right:
            raise InputError(f"{result.path}: {name} is {value}, which its ranks do not give; evaluate again")


def _identify(result: Evaluation) -> tuple[dict[str, Any], Seed, set[str]]:
    """Return the configuration of a result, its seed, and the keys of the configuration that commands set."""
    models = result.record["models"]
    configuration = _together([_configuration(model, result.path) for model in models])
    features = result.record["data"]["features"]
    if features is not None:
        configuration["evaluated features"] = [*features["shape"], features["sampled_sha256"]]
    seed = tuple((model["record"] or {}).get("seed") for model in models)
    if not all(part is None or isinstance(part, int) for part in seed):
        raise TypeError(seed)
    chosen = {
        key for key in configuration for model in models if re.sub(r" \d+$", "", key) in _chosen(model.get("record"))
    }
    return configuration, seed, chosen


def _configuration(model: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what tells a model from others, except its seed and what has no effect."""
    record = model.get("record")
    if record is None:
        for kind in ("weights", "scores"):
            if f"{kind}_sha256" in model:
                return {"network": model.get("network"), kind: model[f"{kind}_sha256"]}
        raise InputError(f"{path}: nothing is recorded of its model; evaluate a checkpoint with --json")
    options = {name: value for name, value in record["options"].items() if name not in WITHOUT_EFFECT | {"seed"}}
    if "loss" in options:
        options["loss"] = canonical_name(options["loss"])
    data, described = record["data"]["train"], record["descriptions"]
    if "descriptions" in options:
        options["descriptions"] = None if described is None else Path(options["descriptions"]).name
    result = {
        "network": record["network"],
        **options,
        "train captions": data["captions_sha256"],
        "features": [*data["features"]["shape"], data["features"]["sampled_sha256"]],
        "vocabulary": record["vocabulary"]["sha256"],
        "description vectors": None if described is None else described["sampled_sha256"],
    }
    start = record["started_from"]
    if start is not None:
        result |= {f"start {name}": value for name, value in _configuration(start, path).items()}
    return result


def _chosen(record: Mapping[str, Any] | None) -> set[str]:
    """Return which options the command of a run set, and `start NAME` for those of the run that it started from."""
    if record is None:
        return set()
    words = [word for word in record["environment"].get("command", ()) if word.startswith("--")]
    flags = {word[2:].partition("=")[0].replace("-", "_") for word in words}
    start = (record["started_from"] or {}).get("record")
    return flags | {flag.removeprefix("no_") for flag in flags} | {f"start {name}" for name in _chosen(start)}


def _together(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the configurations of models that are evaluated together; where they differ, their keys are numbered."""
    result: dict[str, Any] = {"network": "+".join(str(model["network"]) for model in models)}
    for key in dict.fromkeys(key for model in models for key in model if key != "network"):
        values = [model.get(key) for model in models]
        if all(value == values[0] for value in values):
            result[key] = values[0]
        else:
            result |= {f"{key} {number}": value for number, value in enumerate(values, start=1)}
    return result


def _seeds_known(*rows: Row) -> bool:
    return all(None not in seed for row in rows for seed in row.results)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _seed_text(seed: Seed) -> str:
    return "+".join("unknown" if part is None else str(part) for part in seed)


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _needed_text(item: Difference) -> str:
    if item.seeds_needed is not None:
        return str(item.seeds_needed)
    return "" if len(item.seeds) < 2 else "> 1000"
