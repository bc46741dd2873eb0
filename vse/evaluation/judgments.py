"""Human judgments of pairs of a caption and a picture: how well scores agree with graded relevance.

Two public files of Flickr8k (Hodosh et al., JAIR 2013) are read. Lists are condensed (Sakai, SIGIR 2007): unjudged
pairs are removed from a query's ranking, not counted as wrong.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy

from vse.console import warn
from vse.errors import InputError
from vse.files import read_text

LOWEST_GRADE = 1
"""Of the experts, who grade from 1 (unrelated) to 4 (describes the picture)."""

RELEVANT_MEDIAN = 3

RELEVANT_SHARE = 0.5

_SHOWN = 10
"""Lines that a warning quotes."""

_ROUNDING = 0.006
"""A share of yes votes may be written with two digits."""


@dataclass(frozen=True)
class Judgments:
    """Judged pairs of an image and a caption of one split."""

    kind: Literal["expert", "crowd"]
    image: np.ndarray  # [P] int64
    caption: np.ndarray  # [P] int64
    grade: np.ndarray  # [P] float64: mean grade of the experts, or share of yes votes
    relevant: np.ndarray  # [P] bool: median grade of at least 3, or at least half of the votes yes
    left_out: dict[str, list[str]] = field(default_factory=dict)  # reason -> lines, as "line 7: ..."

    @property
    def gain(self) -> np.ndarray:
        """[P] what a pair adds to nDCG: mean grade above the lowest, or share of yes votes."""
        return self.grade - LOWEST_GRADE if self.kind == "expert" else self.grade

    def keep(self, wanted: np.ndarray) -> Judgments:
        """Keep the pairs where `wanted` [P] is true."""
        chosen = (self.image, self.caption, self.grade, self.relevant)
        image, caption, grade, relevant = (values[wanted] for values in chosen)
        return Judgments(self.kind, image, caption, grade, relevant, self.left_out)


def read_judgments(path: str | Path, names: Sequence[str], caption_image: np.ndarray) -> Judgments:
    """Read `ExpertAnnotations.txt` or `CrowdFlowerAnnotations.txt` of Flickr8k, or a file of either form.

    A line holds a picture's file name, a caption `NAME#k` (caption k of picture NAME, from 0), and either three
    grades from 1 to 4 or the share of yes votes, the yes votes and the no votes, all separated by tabs. Which form a
    file has, its lines tell: none can be of both. Lines that are damaged, of the other form, of pictures or captions
    outside the split, or of a pair that an earlier line judges are left out and listed.

    Args:
        names: [N] file name of each image of the split.
        caption_image: [M] image of each caption.

    Raises:
        InputError: not readable, no line is left, or as many lines of one form as of the other.
    """
    try:
        lines = read_text(path, encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a file of judgments") from None
    values = [_parse(line) for line in lines]
    forms = [parsed.form for parsed in values if parsed is not None]
    experts, crowd = forms.count("expert"), forms.count("crowd")
    if experts == crowd:
        raise InputError(
            f"{path}: {experts} lines of expert grades and {crowd} of votes among {len(lines)}; expected "
            "NAME, NAME#k and three grades from 1 to 4, or NAME, NAME#k, share of yes, yes and no, tabs between them"
        )
    kind: Literal["expert", "crowd"] = "expert" if experts > crowd else "crowd"
    row = {PurePosixPath(name).name: number for number, name in enumerate(names)}
    if len(row) < len(names):
        raise InputError(f"{len(names)} images bear {len(row)} file names; judgments name pictures, which must differ")
    captions_of = [np.flatnonzero(caption_image == image) for image in range(len(names))]
    seen: set[tuple[int, int]] = set()
    judged: list[tuple[int, int, _JudgmentLine]] = []
    left_out: dict[str, list[str]] = {}
    for number, (line, parsed) in enumerate(zip(lines, values, strict=True), 1):
        reason = _fault(parsed, kind, row, captions_of)
        if reason is None and parsed is not None:
            pair = (row[parsed.picture], int(captions_of[row[parsed.caption_of]][parsed.place]))
            if pair in seen:
                reason = "judge a pair that an earlier line judges"
            else:
                seen.add(pair)
                judged.append((*pair, parsed))
        if reason is not None:
            left_out.setdefault(reason, []).append(f"line {number}: {line[:80]!r}")
    if not judged:
        reasons = "; ".join(f"{len(some)} {reason}" for reason, some in left_out.items())
        raise InputError(
            f"{path}: no judged pair of this split ({reasons}); give the split that was judged with --split"
        )
    image, caption, found = zip(*judged, strict=True)
    return Judgments(
        kind,
        np.array(image),
        np.array(caption),
        np.array([parsed.grade for parsed in found]),
        np.array([parsed.relevant for parsed in found]),
        left_out,
    )


def read_split_judgments(
    path: str | Path, folder: Path, split: str, images: int, caption_image: np.ndarray
) -> Judgments:
    """Read the judgments of a split whose pictures `{split}_names.txt` names, and warn of lines that are left out.

    Args:
        path: see `read_judgments`.
        folder: of the data set.
        images: number of images of the split.
        caption_image: [M] image of each caption.

    Raises:
        InputError: a file cannot be read, the names do not fit the split, or no judged pair is of it.
    """
    judgments = read_judgments(path, _picture_names(folder, split, images), caption_image)
    for reason, lines in judgments.left_out.items():
        warn(f"{path}: {len(lines)} lines {reason} and are left out: {'; '.join(lines[:_SHOWN])}")
    return judgments


def _picture_names(folder: Path, split: str, images: int) -> list[str]:
    file = folder / f"{split}_names.txt"
    try:
        names = read_text(file, encoding="utf-8", errors="replace").splitlines()
    except OSError as problem:
        raise InputError(
            f"{file}: cannot be read ({problem.strerror}); judgments name pictures by file, expected one name an image"
        ) from None
    if len(names) != images:
        raise InputError(f"{file}: {len(names)} names; expected one for each of the {images} images")
    return names


class _JudgmentLine(NamedTuple):
    form: Literal["expert", "crowd"]
    picture: str
    caption_of: str  # picture that the caption was written for
    place: int  # of the caption among that picture's
    grade: float
    relevant: bool


def _parse(line: str) -> _JudgmentLine | None:
    """One line; None if it is damaged."""
    fields = line.split("\t")
    if len(fields) != 5:
        return None
    picture, caption, *numbers = fields
    name, mark, place = caption.rpartition("#")
    if not picture or not mark or not name or not re.fullmatch(r"\d{1,18}", place):
        return None
    if all(number in ("1", "2", "3", "4") for number in numbers):
        grades = [int(number) for number in numbers]
        relevant = bool(np.median(grades) >= RELEVANT_MEDIAN)
        return _JudgmentLine("expert", picture, name, int(place), float(np.mean(grades)), relevant)
    try:
        share, yes, no = float(numbers[0]), int(numbers[1]), int(numbers[2])
    except ValueError:
        return None
    if yes < 0 or no < 0 or yes + no == 0 or not abs(share - yes / (yes + no)) <= _ROUNDING:
        return None
    share = yes / (yes + no)
    return _JudgmentLine("crowd", picture, name, int(place), share, share >= RELEVANT_SHARE)


def _fault(parsed: _JudgmentLine | None, kind: str, row: dict[str, int], captions_of: list[np.ndarray]) -> str | None:
    """Why a line is left out; None if it is not."""
    if parsed is None:
        return "are damaged"
    if parsed.form != kind:
        return f"are of the other form ({parsed.form})"
    if parsed.picture not in row or parsed.caption_of not in row:
        return "name a picture that is not in the split"
    if parsed.place >= len(captions_of[row[parsed.caption_of]]):
        return "name a caption that its picture does not have"
    return None


def judge(scores: np.ndarray, judgments: Judgments, caption_image: np.ndarray, resamples: int = 1000) -> dict[str, Any]:
    """Compare scores of judged pairs with the judgments, for foreign pairs and for all pairs.

    A pair is foreign if the caption was not written for the picture. `foreign` and `all` each hold the number of
    `pairs`; `spearman` and `kendall` (tau-b) of score and mean grade over all pairs; and for `image_to_text` and
    `text_to_image` the means over queries of `ndcg` and `map`, each a dictionary of `value`, `low` and `high` (95 %
    bootstrap interval over queries; of the correlations, over captions), `queries`, and `without`, the number of
    queries that have no gain (nDCG) or nothing relevant (mAP) to find.

    Args:
        scores: [P] score of each judged pair.
        caption_image: [M] image of each caption of the split.
        resamples: of the bootstrap, drawn with seed 0.
    """
    foreign = caption_image[judgments.caption] != judgments.image
    return {
        name: _judge_pairs(scores[pairs], judgments.keep(pairs), resamples)
        for name, pairs in (("foreign", foreign), ("all", np.ones_like(foreign)))
    }


def graded_relevance(scores: np.ndarray, judgments: Judgments, caption_image: np.ndarray) -> dict[str, float]:
    """Measure how scores rank foreign pairs, as one number each, for tables of many models.

    `graded_spearman` is Spearman's correlation of score and mean grade, `graded_ndcg` the mean nDCG of the captions
    of an image and `graded_ndcgi` of the images of a caption; `judge` adds intervals and other measures. Empty if no
    foreign pair was judged.

    Args:
        scores: [P] score of each judged pair.
        caption_image: [M] image of each caption of the split.
    """
    foreign = caption_image[judgments.caption] != judgments.image
    judgments, scores = judgments.keep(foreign), scores[foreign]
    if not len(scores):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # as in `_correlation`
        result = {"graded_spearman": float(scipy.stats.spearmanr(scores, judgments.grade).statistic)}
    for suffix, query, item in (
        ("", judgments.image, judgments.caption),
        ("i", judgments.caption, judgments.image),
    ):
        order, start, place = _ranked(query, scores, item)
        result[f"graded_ndcg{suffix}"] = float(np.nanmean(ndcg(judgments.gain[order], start, place)))
    return result


def _judge_pairs(scores: np.ndarray, judgments: Judgments, resamples: int) -> dict[str, Any]:
    result: dict[str, Any] = {"pairs": len(scores)}
    if not len(scores):
        return result
    for name, correlation in (("spearman", scipy.stats.spearmanr), ("kendall", scipy.stats.kendalltau)):
        result[name] = _correlation(correlation, scores, judgments.grade, judgments.caption, resamples)
    for direction, query, item in (
        ("image_to_text", judgments.image, judgments.caption),
        ("text_to_image", judgments.caption, judgments.image),
    ):
        order, start, place = _ranked(query, scores, item)
        result[direction] = {
            "ndcg": _mean_over_queries(ndcg(judgments.gain[order], start, place), resamples),
            "map": _mean_over_queries(average_precision(judgments.relevant[order], start, place), resamples),
        }
    return result


def _ranked(query: np.ndarray, scores: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judged pairs sorted by query, best score first, lower item first among equals.

    Returns:
        The order [P], where each query starts in it [Q], and the place of each pair in its query's list, from 1 [P].
    """
    order = np.lexsort((item, -scores, query))
    start = np.flatnonzero(np.diff(query[order], prepend=query[order][0] - 1))
    length = np.diff(start, append=len(order))
    return order, start, np.arange(len(order)) - np.repeat(start, length) + 1


def ndcg(gain: np.ndarray, start: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Normalised discounted cumulative gain (Jarvelin and Kekalainen 2002) of each query's whole judged list -> [Q].

    Gains are linear, the discount is log2(1 + place). NaN where a query has no gain to find.

    Args:
        gain: [P] of the pairs in the order of their ranking, query after query.
        start: [Q] where each query starts.
        place: [P] place in the query's list, from 1.
    """
    list_of = np.cumsum(place == 1)
    ideal = gain[np.lexsort((-gain, list_of))]
    discount = np.log2(1 + place)
    best = np.add.reduceat(ideal / discount, start)
    found = np.add.reduceat(gain / discount, start)
    return np.divide(found, best, out=np.full(len(start), np.nan), where=best > 0)


def average_precision(relevant: np.ndarray, start: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Average precision of each query's whole judged list -> [Q]; NaN where nothing is relevant; see `ndcg`."""
    found = np.cumsum(relevant)
    length = np.diff(start, append=len(relevant))
    before = np.repeat(found[start] - relevant[start], length)
    precision = (found - before) / place
    total = np.add.reduceat(relevant.astype(np.int64), start)
    gained = np.add.reduceat(np.where(relevant, precision, 0.0), start)
    return np.divide(gained, total, out=np.full(len(start), np.nan), where=total > 0)


def _mean_over_queries(values: np.ndarray, resamples: int) -> dict[str, float]:
    known = values[~np.isnan(values)]
    counts = {"queries": len(known), "without": int(len(values) - len(known))}
    if not len(known):
        return {"value": float("nan"), "low": float("nan"), "high": float("nan"), **counts}
    low, high = _interval((known,), np.mean, resamples, vectorized=True)
    return {"value": float(known.mean()), "low": low, "high": high, **counts}


def _correlation(
    correlation: Callable[..., Any], scores: np.ndarray, grade: np.ndarray, query: np.ndarray, resamples: int
) -> dict[str, float]:
    """Compute a rank correlation over all pairs, and its interval from a bootstrap over queries."""
    order = np.argsort(query, kind="stable")
    pairs_of = np.split(order, np.flatnonzero(np.diff(query[order])) + 1)

    def of_queries(drawn: np.ndarray) -> float:
        pairs = np.concatenate([pairs_of[number] for number in drawn])
        return float(correlation(scores[pairs], grade[pairs]).statistic)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a sample too small or graded alike: NaN says it
        low, high = _interval((np.arange(len(pairs_of)),), of_queries, resamples, vectorized=False)
        return {"value": float(correlation(scores, grade).statistic), "low": low, "high": high}


def _interval(
    data: tuple[np.ndarray], statistic: Callable[..., Any], resamples: int, vectorized: bool
) -> tuple[float, float]:
    """95 % percentile interval of the bootstrap; NaN for a single query."""
    if len(data[0]) < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)  # all values are equal, or NaN among them
        interval = scipy.stats.bootstrap(
            data, statistic, n_resamples=resamples, method="percentile", vectorized=vectorized, rng=generator
        ).confidence_interval
    return float(interval.low), float(interval.high)


def description_scores(vectors: np.ndarray, judgments: Judgments, caption_image: np.ndarray) -> np.ndarray:
    """Similarity in meaning of each judged pair -> [P]: mean cosine of the caption and the picture's own captions.

    Without the caption itself, where it is one of them. NaN where the picture has no other caption.

    Args:
        vectors: [M, D] description vector of each caption; a row of zeros is similar to nothing.
    """
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
    total = np.zeros((int(caption_image.max()) + 1, unit.shape[1]), dtype=np.float64)
    np.add.at(total, caption_image, unit)
    count = np.bincount(caption_image, minlength=len(total))[judgments.image]
    own = caption_image[judgments.caption] == judgments.image
    caption = unit[judgments.caption].astype(np.float64)
    cosine = np.einsum("pd,pd->p", caption, total[judgments.image] - caption * own[:, None])
    return np.divide(cosine, count - own, out=np.full(len(cosine), np.nan), where=count > own)


def nearest_is_sibling(vectors: np.ndarray, caption_image: np.ndarray, block: int = 1024) -> float:
    """Percentage of captions whose nearest other caption, by cosine, describes the same image.

    Args:
        vectors: [M, D].
        caption_image: [M].
    """
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
    found = []
    for first in range(0, len(unit), block):
        cosine = unit[first : first + block] @ unit.T
        rows = np.arange(len(cosine))
        cosine[rows, first + rows] = -np.inf
        found.append(caption_image[cosine.argmax(axis=1)] == caption_image[first : first + block])
    return 100 * float(np.concatenate(found).mean())
