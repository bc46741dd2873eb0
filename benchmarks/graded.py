"""Differences of an experiment's rows in graded relevance, with intervals over captions instead of seeds.

    python benchmarks/graded.py runs/objectives --against LMH --data FOLDER/f8k_global_precomp \\
        --annotations ExpertAnnotations.txt

Graded relevance is Spearman's correlation of scores with people's mean grades of foreign pairs. A difference is the
mean over seeds. Its interval and p come from a bootstrap over the judged captions, each with its pairs; all rows and
seeds see the same resamples. They are about other captions and pictures, not about other runs: for those see
`paired.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from measuring import finished_runs
from scipy.stats import rankdata
from tabulate import tabulate
from tqdm import tqdm

import vse
from vse.data.datasets import open_split
from vse.errors import InputError
from vse.evaluation.judgments import read_split_judgments
from vse.evaluation.significance import holm
from vse.exits import run_to_end


def correlations(scores: np.ndarray, grade: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of scores [..., P] with grades [P]."""
    ranks, wanted = rankdata(scores, axis=-1), rankdata(grade)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    wanted -= wanted.mean()
    return (ranks @ wanted) / np.sqrt((ranks**2).sum(axis=-1) * (wanted**2).sum())


def bootstrap(scores: np.ndarray, grade: np.ndarray, query: np.ndarray, resamples: int) -> np.ndarray:
    """Draw queries with replacement -> the correlations [resamples, ...] of scores [..., P]."""
    order = np.argsort(query, kind="stable")
    pairs_of = np.split(order, np.flatnonzero(np.diff(query[order])) + 1)
    generator = np.random.default_rng(0)
    drawn = []
    for _ in tqdm(range(resamples), disable=None):
        chosen = generator.integers(len(pairs_of), size=len(pairs_of))
        pairs = np.concatenate([pairs_of[number] for number in chosen])
        drawn.append(correlations(scores[..., pairs], grade[pairs]))
    return np.stack(drawn)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of an experiment")
    parser.add_argument("--against", required=True, help="row that the others are compared with")
    parser.add_argument("--rows", nargs="+", help="rows to compare; default: all")
    parser.add_argument("--data", type=Path, required=True, help="data set folder with test_names.txt")
    parser.add_argument("--annotations", required=True, help="ExpertAnnotations.txt of Flickr8k")
    parser.add_argument("--resamples", type=int, default=1000)
    given = parser.parse_args()
    split = open_split(given.data, "test")
    judged = read_split_judgments(given.annotations, given.data, "test", len(split.images), split.caption_image)
    foreign = judged.keep(split.caption_image[judged.caption] != judged.image)

    runs = finished_runs(given.folder)
    rows_there = list(dict.fromkeys(run.row for run in runs))
    wanted = set(rows_there if given.rows is None else [given.against, *given.rows])
    for name in {given.against, *wanted} - set(rows_there):
        raise InputError(f"{given.folder}: no row {name}; it has {', '.join(rows_there)}")
    scores: dict[str, list[np.ndarray]] = defaultdict(list)
    for task in tqdm([run for run in runs if run.row in wanted], disable=None):
        model = vse.load(task.folder / "model_best.pth.tar")
        with contextlib.redirect_stdout(sys.stderr):  # the share of unknown words, once a model
            encoded = model.encode_split(split)
        scores[task.row].append(model.score(*encoded).numpy()[foreign.image, foreign.caption])

    stacked = np.array(list(scores.values()))  # [rows, seeds, P]
    found = correlations(stacked, foreign.grade).mean(axis=1)
    drawn = bootstrap(stacked, foreign.grade, foreign.caption, given.resamples).mean(axis=2)
    base = list(scores).index(given.against)
    changes = drawn - drawn[:, base : base + 1]
    low, high = np.quantile(changes, [0.025, 0.975], axis=0)
    beyond = np.minimum((changes <= 0).sum(axis=0), (changes >= 0).sum(axis=0)) + 1
    corrected = iter(holm([min(1.0, 2 * n / (given.resamples + 1)) for n in np.delete(beyond, base)]))
    rows = []
    for place, name in enumerate(scores):
        row = [name, f"{found[place]:.3f}"]
        if place != base:
            change, p = found[place] - found[base], next(corrected)
            row += [f"{change:+.3f}", f"{low[place]:+.3f} to {high[place]:+.3f}", f"{p:.3f}"]
        rows.append(row)
    rows.sort(key=lambda row: row[1], reverse=True)
    print(f"{len(foreign.grade)} foreign pairs of {len(np.unique(foreign.caption))} captions, {stacked.shape[1]} seeds")
    heads = ["run", "graded relevance", "difference", "95 %, captions", "p, Holm"]
    print(tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    run_to_end(main)
