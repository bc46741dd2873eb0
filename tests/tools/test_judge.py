"""`python -m vse judge`: scores or description vectors against a file of human judgments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.errors import InputError
from vse.tools.judge import main
from vse.tools.options import JudgeOptions

IMAGES, CAPTIONS = 8, 40

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, make_data_set: Callable[..., Path]) -> Run:
    """Judge with a small file of expert grades, in which the grade of a pair falls with the distance of its images."""
    folder = make_data_set(tmp_path / "small_precomp")
    (folder / "test_names.txt").write_text("".join(f"{image}.jpg\n" for image in range(IMAGES)))
    lines = [
        f"{image}.jpg\t{other}.jpg#{other % 5}\t" + "\t".join([str(max(1, 4 - abs(image - other)))] * 3)
        for image in range(IMAGES)
        for other in range(IMAGES)
    ]
    (tmp_path / "grades.txt").write_text("\n".join(lines) + "\n")

    def judge_files(scores: np.ndarray | None = None, **flags: Any) -> dict[str, Any]:
        if scores is not None:
            np.save(tmp_path / "scores.npy", scores)
            flags["scores"] = str(tmp_path / "scores.npy")
        main(
            JudgeOptions(
                str(tmp_path / "grades.txt"), str(folder), resamples=50, json=str(tmp_path / "out.json"), **flags
            )
        )
        return json.loads((tmp_path / "out.json").read_bytes())

    return judge_files


def near() -> np.ndarray:
    """Scores that fall with the distance of the images."""
    return -np.abs(np.arange(IMAGES)[:, None] - np.arange(CAPTIONS) // 5).astype(np.float32)


def test_scores_that_agree_with_people_are_perfect(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(near())
    assert found["all"]["pairs"] == IMAGES**2
    assert found["foreign"]["pairs"] == IMAGES**2 - IMAGES
    for direction in ("image_to_text", "text_to_image"):
        assert found["all"][direction]["map"]["value"] == 1
        assert found["foreign"][direction]["ndcg"]["value"] == pytest.approx(1)
    assert found["all"]["spearman"]["value"] > 0.85  # below the lowest grade distances differ still
    out = capsys.readouterr().out
    assert "foreign pairs" in out
    assert "median grade of at least 3" in out
    assert run(-near())["all"]["spearman"]["value"] < -0.85


def test_vectors_are_judged_and_siblings_counted(run: Run, tmp_path: Path) -> None:
    angle = np.arange(CAPTIONS) // 5 * 0.2
    np.save(tmp_path / "vectors.npy", np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    found = run(descriptions=str(tmp_path / "vectors.npy"))
    assert found["all"]["text_to_image"]["map"]["value"] == 1
    assert found["nearest_is_sibling"] == 100


def test_svd_vectors_are_made_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.joinpath("small_precomp").iterdir())
    assert 0 <= run(descriptions="svd")["nearest_is_sibling"] <= 100
    assert sorted(tmp_path.joinpath("small_precomp").iterdir()) == before


def test_lines_left_out_are_counted_and_named(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "grades.txt").open("a") as file:
        file.write("broken\n" * 12 + "nobody.jpg\t1.jpg#0\t1\t1\t1\n")
    found = run(near())
    assert {reason: len(lines) for reason, lines in found["left_out"].items()} == {
        "are damaged": 12,
        "name a picture that is not in the split": 1,
    }
    errors = capsys.readouterr().err
    assert "12 lines are damaged and are left out: line 65: 'broken'" in errors
    assert "line 74" in errors
    assert "line 75" not in errors


def test_pairs_without_a_finite_score_are_counted(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scores = near()
    scores[2, 5 * 2 + 2] = -np.inf
    assert run(scores)["all"]["pairs"] == IMAGES**2 - 1
    assert "1 of 64 judged pairs have no finite score" in capsys.readouterr().err


def test_what_does_not_fit_is_one_sentence(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.zeros((3, 2), np.float32))
    for arguments, message in (
        ({}, "give either SCORES or --descriptions"),
        ({"scores": near(), "descriptions": "svd"}, "give either SCORES or --descriptions"),
        ({"scores": near()[:, :-1]}, "scores of 39 captions, small_precomp test has 40"),
        ({"scores": near()[:-1]}, r"7 images \(rows\), but the test split .* has 8 images"),
        ({"descriptions": str(tmp_path / "vectors.npy")}, "one for each of the 40 captions"),
        ({"descriptions": "bert"}, "expected svd, sentence or a .npy file"),
    ):
        with pytest.raises(InputError, match=message):
            run(**arguments)
    (tmp_path / "small_precomp" / "test_names.txt").unlink()
    with pytest.raises(InputError, match="judgments name pictures by file"):
        run(near())
