"""Tables and JSON of evaluations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.errors import InputError
from vse.evaluation.ranking import evaluate
from vse.evaluation.reports import compare, load_json, recall_table, save_json


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


def test_metrics_survive_json(tmp_path: Path) -> None:
    metrics = some_metrics(0, fold5=True)
    save_json(tmp_path / "metrics.json", metrics)
    assert load_json(tmp_path / "metrics.json") == metrics
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_compare_gives_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    paths = []
    for name, seeds in (("lseh", (1, 2, 3)), ("lmh", (4,))):
        for seed in seeds:
            paths.append(tmp_path / f"{name}_seed{seed}.json")
            save_json(paths[-1], some_metrics(seed))
    table = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")] for line in compare(paths).splitlines()
    }
    rsums = [some_metrics(seed)["rsum"] for seed in (1, 2, 3)]
    assert table["lseh"][8] == f"{np.mean(rsums):.1f} ± {np.std(rsums, ddof=1):.1f}"
    assert table["lseh"][11] == "3"
    assert table["lmh"][8] == f"{some_metrics(4)['rsum']:.1f}"


def test_compare_tells_files_of_one_name_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "test.json" for folder in ("lseh_seed0", "lseh_seed1", "hal")]
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        save_json(path, some_metrics(seed))
    table = compare(paths)
    assert "lseh/test |" in table
    assert "hal/test |" in table
    assert len(table.splitlines()) == 4


@pytest.mark.parametrize("content", [None, "{", "[]", '{"r1": 1}'])
def test_a_file_without_metrics_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        compare([path])
