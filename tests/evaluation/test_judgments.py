"""Files of human judgments in both forms, and measures of graded relevance against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score

from vse.errors import InputError
from vse.evaluation.judgments import (
    Judgments,
    description_scores,
    graded_relevance,
    judge,
    nearest_is_sibling,
    read_judgments,
)

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
OWNER = np.array([0, 0, 1, 1, 2])
EXPERT = "a.jpg\tb.jpg#1\t1\t2\t2\nb.jpg\tb.jpg#0\t4\t4\t3\nc.jpg\ta.jpg#1\t3\t3\t1\n"
CROWD = "a.jpg\tb.jpg#1\t0.333333\t1\t2\nb.jpg\tb.jpg#0\t1\t3\t0\nc.jpg\ta.jpg#1\t0.5\t2\t2\n"

Read = Callable[[str], Judgments]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_text(text: str) -> Judgments:
        (tmp_path / "judgments.txt").write_text(text)
        return read_judgments(tmp_path / "judgments.txt", NAMES, OWNER)

    return read_text


def test_expert_grades_are_read(read: Read) -> None:
    judgments = read(EXPERT)
    assert judgments.kind == "expert"
    assert judgments.image.tolist() == [0, 1, 2]
    assert judgments.caption.tolist() == [3, 2, 1]
    assert judgments.grade.tolist() == pytest.approx([5 / 3, 11 / 3, 7 / 3])
    assert judgments.relevant.tolist() == [False, True, True]
    assert judgments.gain.tolist() == pytest.approx([2 / 3, 8 / 3, 4 / 3])
    assert judgments.left_out == {}


def test_votes_are_read(read: Read) -> None:
    judgments = read(CROWD)
    assert judgments.kind == "crowd"
    assert judgments.grade.tolist() == pytest.approx([1 / 3, 1, 1 / 2])
    assert judgments.relevant.tolist() == [False, True, True]
    assert judgments.gain.tolist() == judgments.grade.tolist()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg\ta.jpg#0\t1\t2", "are damaged"),
        ("a.jpg\ta.jpg#0\t1\t2\t5", "are damaged"),
        ("a.jpg\ta.jpg\t1\t2\t3", "are damaged"),
        ("a.jpg\ta.jpg#x\t1\t2\t3", "are damaged"),
        (f"a.jpg\ta.jpg#{'9' * 5000}\t1\t2\t3", "are damaged"),
        ("a.jpg a.jpg#0 1 2 3", "are damaged"),
        ("", "are damaged"),
        ("a.jpg\ta.jpg#0\t0.9\t1\t2", "are damaged"),
        ("a.jpg\ta.jpg#0\tnan\t1\t2", "are damaged"),
        ("a.jpg\ta.jpg#0\t0.5\t1\t1", r"are of the other form \(crowd\)"),
        ("d.jpg\ta.jpg#0\t1\t2\t3", "name a picture that is not in the split"),
        ("a.jpg\td.jpg#0\t1\t2\t3", "name a picture that is not in the split"),
        ("a.jpg\ta.jpg#2\t1\t2\t3", "name a caption that its picture does not have"),
        ("a.jpg\tb.jpg#1\t4\t4\t4", "judge a pair that an earlier line judges"),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out_and_named(read: Read, line: str, reason: str) -> None:
    judgments = read(f"{EXPERT}{line}\n")
    assert judgments.grade.tolist() == read(EXPERT).grade.tolist()
    assert list(judgments.left_out) == [reason.replace("\\", "")]
    assert judgments.left_out[reason.replace("\\", "")] == [f"line 4: {line[:80]!r}"]


def test_a_file_of_neither_form_or_of_another_split_is_refused(read: Read, tmp_path: Path) -> None:
    for text in ("", "nonsense\n", EXPERT + CROWD):
        with pytest.raises(InputError, match="lines of expert grades"):
            read(text)
    with pytest.raises(InputError, match=r"no judged pair of this split .2 name a picture that is not in the split"):
        read("x.jpg\ty.jpg#0\t1\t1\t1\ny.jpg\tx.jpg#0\t1\t1\t1\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_judgments(tmp_path / "none.txt", NAMES, OWNER)


def test_images_with_one_file_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "judgments.txt").write_text(EXPERT)
    with pytest.raises(InputError, match="3 images bear 2 file names"):
        read_judgments(tmp_path / "judgments.txt", ["x/a.jpg", "y/a.jpg", "b.jpg"], OWNER)


def drawn(pairs: int = 300, images: int = 12, per_image: int = 3) -> tuple[np.ndarray, Judgments, np.ndarray]:
    """Scores, judgments and owners: a sample of pairs, graded at random."""
    generator = np.random.default_rng(0)
    owner = np.repeat(np.arange(images), per_image)
    flat = generator.choice(images * len(owner), pairs, replace=False)
    grades = generator.integers(1, 5, (pairs, 3))
    scores = generator.standard_normal(pairs) + grades.mean(axis=1)
    image, caption = flat // len(owner), flat % len(owner)
    return scores, Judgments("expert", image, caption, grades.mean(axis=1), np.median(grades, axis=1) >= 3), owner


def test_measures_equal_scikit_learns_over_judged_lists() -> None:
    scores, judgments, owner = drawn()
    result = judge(scores, judgments, owner, resamples=20)
    for direction, query in (("image_to_text", judgments.image), ("text_to_image", judgments.caption)):
        lists = [query == number for number in np.unique(query)]
        gains = [some for some in lists if judgments.gain[some].any()]
        several = [some for some in gains if some.sum() > 1]
        expected = [ndcg_score([judgments.gain[some]], [scores[some]], ignore_ties=True) for some in several]
        expected += [1.0] * (len(gains) - len(several))
        found = result["all"][direction]["ndcg"]
        assert found["value"] == pytest.approx(np.mean(expected))
        assert (found["queries"], found["without"]) == (len(gains), len(lists) - len(gains))
        answered = [some for some in lists if judgments.relevant[some].any()]
        expected = [average_precision_score(judgments.relevant[some], scores[some]) for some in answered]
        found = result["all"][direction]["map"]
        assert found["value"] == pytest.approx(np.mean(expected))
        assert (found["queries"], found["without"]) == (len(answered), len(lists) - len(answered))


def test_foreign_pairs_have_a_correlation_of_their_own() -> None:
    scores, judgments, owner = drawn()
    result = judge(scores, judgments, owner, resamples=20)
    foreign = owner[judgments.caption] != judgments.image
    for name, pairs in (("all", np.ones_like(foreign)), ("foreign", foreign)):
        assert result[name]["pairs"] == pairs.sum()
        rho, tau = stats.spearmanr, stats.kendalltau
        assert result[name]["spearman"]["value"] == rho(scores[pairs], judgments.grade[pairs]).statistic
        assert result[name]["kendall"]["value"] == tau(scores[pairs], judgments.grade[pairs]).statistic
    assert 0 < foreign.sum() < len(foreign)


def test_intervals_hold_the_value_and_are_the_same_every_time() -> None:
    scores, judgments, owner = drawn()
    first, second = (judge(scores, judgments, owner, resamples=200)["foreign"] for _ in range(2))
    assert first == second
    for measured in (
        first["spearman"],
        first["kendall"],
        first["image_to_text"]["ndcg"],
        first["text_to_image"]["map"],
    ):
        assert measured["low"] < measured["value"] < measured["high"]


def test_intervals_widen_with_dependence_within_queries() -> None:
    generator = np.random.default_rng(0)
    grade = np.repeat(generator.integers(1, 5, 30), 10).astype(float)  # ten pairs a caption, graded alike
    scores = np.repeat(generator.standard_normal(30), 10) + 0.01 * generator.standard_normal(300)
    relevant = grade >= 3
    image = np.tile(np.arange(10), 30)
    clustered = Judgments("expert", image, np.repeat(np.arange(30), 10), grade, relevant)
    single = Judgments("expert", image, np.arange(300), grade, relevant)
    widths = []
    for judgments in (clustered, single):
        found = judge(scores, judgments, np.full(300, 99), resamples=200)["foreign"]["spearman"]
        widths.append(found["high"] - found["low"])
    assert widths[0] > 2 * widths[1]


def test_equal_scores_rank_the_lower_item_first() -> None:
    grade = np.array([4.0, 1.0])
    for image, best in (([0, 1], 1.0), ([1, 0], 0.5)):  # the relevant image has the lower row, the higher row
        judgments = Judgments("expert", np.array(image), np.array([0, 0]), grade, grade >= 3)
        found = judge(np.zeros(2), judgments, np.array([9]), resamples=20)
        assert found["foreign"]["text_to_image"]["map"]["value"] == best


def test_a_description_score_is_the_mean_cosine_to_others() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((5, 6)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    judgments = Judgments("expert", np.array([0, 1, 2]), np.array([3, 3, 4]), np.zeros(3), np.zeros(3, bool))
    found = description_scores(vectors, judgments, OWNER)
    assert found[0] == pytest.approx((unit[3] @ unit[0] + unit[3] @ unit[1]) / 2, abs=1e-6)
    assert found[1] == pytest.approx(unit[3] @ unit[2], abs=1e-6)  # not with itself
    assert np.isnan(found[2])  # the image has no other caption


def test_siblings_are_counted_among_nearest_captions() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [1, 0.2], [0, 0]], np.float32)
    expected = 100 * 2 / 5  # 0 and 1 find each other; 2 and 3 find others; a zero vector is near to nothing, finds 0
    assert nearest_is_sibling(vectors, OWNER) == expected
    assert nearest_is_sibling(vectors, OWNER, block=2) == expected


def test_graded_relevance_is_what_judge_finds_of_foreign_pairs() -> None:
    generator = np.random.default_rng(0)
    owner = np.repeat(np.arange(20), 5)
    image, caption = (part.ravel() for part in np.meshgrid(np.arange(20), np.arange(0, 100, 5), indexing="ij"))
    grade = generator.uniform(1, 4, len(image))
    judgments = Judgments("expert", image, caption, grade, grade >= 3)
    scores = generator.normal(size=len(image))
    found = judge(scores, judgments, owner, resamples=2)["foreign"]
    graded = graded_relevance(scores, judgments, owner)
    assert graded["graded_spearman"] == pytest.approx(found["spearman"]["value"])
    assert graded["graded_ndcg"] == pytest.approx(found["image_to_text"]["ndcg"]["value"])
    assert graded["graded_ndcgi"] == pytest.approx(found["text_to_image"]["ndcg"]["value"])


def test_too_few_judgments_give_nan_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    judgments = Judgments("expert", np.array([0]), np.array([1]), np.array([2.0]), np.array([False]))
    caption_image = np.arange(2)
    assert np.isnan(judge(np.ones(1), judgments, caption_image)["foreign"]["spearman"]["value"])
    assert np.isnan(graded_relevance(np.ones(1), judgments, caption_image)["graded_spearman"])
    assert not recwarn.list
