"""Tables and JSON of evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import write_data_set
from vse.data.datasets import open_split
from vse.data.digests import describe_split
from vse.errors import InputError
from vse.evaluation.ranking import evaluate, ranks
from vse.evaluation.reports import evaluation_record, load_evaluation, recall_table, save_evaluation, save_json


def some_metrics(seed: int, fold5: bool = False) -> dict:
    scores = np.random.default_rng(seed).standard_normal((20, 40)).astype(np.float32)
    caption_image = np.arange(40) // 2
    scores[caption_image, np.arange(40)] += 2
    return evaluate(scores, caption_image, fold5)


def test_the_table_has_both_directions_under_their_own_names() -> None:
    metrics = some_metrics(0)
    lines = recall_table(metrics, "demo, test").splitlines()
    assert lines[0] == "demo, test (20 images, 40 captions)"
    rows = {
        line[:13]: [float(cell) for cell in line[13:].split()] for line in lines if line.startswith(("image", "text"))
    }
    for direction, suffix in (("image to text", ""), ("text to image", "i")):
        expected = [metrics[f"{name}{suffix}"] for name in ("r1", "r5", "r10", "medr", "meanr")]
        assert rows[direction] == pytest.approx(expected, abs=0.051)
    assert rows["image to text"] != rows["text to image"]
    summary = next(line for line in lines if line.startswith("rsum"))
    assert f"rsum {metrics['rsum']:.1f}, mean recall {metrics['ar']:.1f} image to text" in summary
    assert f"skewness {metrics['hub_skewness']:.2f}" in lines[-1]


def test_the_table_of_five_folds_says_so() -> None:
    assert "mean of 5 folds of 4 images, 8 captions" in recall_table(some_metrics(0, fold5=True), "demo")


def some_result(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A result of a small split, written; its path, scores and caption_image."""
    scores = np.random.default_rng(0).standard_normal((8, 40)).astype(np.float32)
    split = open_split(write_data_set(tmp_path / "small"), "test")
    record = evaluation_record(
        [{"path": "a", "weights_sha256": "b", "record": None}], describe_split(split), torch.device("cpu"), {}
    )
    path = tmp_path / "result.json"
    metrics = evaluate(scores, split.caption_image)
    save_evaluation(path, metrics, torch.from_numpy(scores), split.caption_image, record)
    return path, scores, split.caption_image


def test_metrics_ranks_and_record_survive_json(tmp_path: Path) -> None:
    path, scores, caption_image = some_result(tmp_path)
    found, expected = load_evaluation(path), ranks(scores, caption_image)
    assert found.metrics == evaluate(scores, caption_image)
    np.testing.assert_array_equal(found.image_to_text, expected.image_to_text)
    np.testing.assert_array_equal(found.text_to_image, expected.text_to_image)
    np.testing.assert_array_equal(found.caption_image, caption_image)
    assert found.record["data"]["captions"] == 40
    assert found.record["environment"]["device"] == "cpu"


def test_metrics_stand_at_the_top_of_the_file(tmp_path: Path) -> None:
    content = json.loads(some_result(tmp_path)[0].read_text())
    assert content["rsum"] > 0
    assert [int(rank) for rank in content["ranks"]["image_to_text"].split()]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    save_json(tmp_path / "metrics.json", {"rsum": np.float64(1.5)})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"rsum": 1.5}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"r1": 1}'])
def test_a_file_without_metrics_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        load_evaluation(path)


def test_metrics_without_a_record_are_refused(tmp_path: Path) -> None:
    save_json(tmp_path / "old.json", some_metrics(0))
    with pytest.raises(InputError, match="without a record"):
        load_evaluation(tmp_path / "old.json")


@pytest.mark.parametrize("name", ["image_to_text", "text_to_image", "caption_image"])
@pytest.mark.parametrize("first", ["", "-1 ", "1000000 ", "99999999999999999999 ", "1.5 "])
def test_ranks_that_do_not_fit_the_record_are_refused(tmp_path: Path, name: str, first: str) -> None:
    path = some_result(tmp_path)[0]
    content = json.loads(path.read_text())
    content["ranks"][name] = first + content["ranks"][name].split(" ", 1)[1]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="damaged"):
        load_evaluation(path)
