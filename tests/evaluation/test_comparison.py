"""Results side by side: rows by records, never by file names."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vse.errors import InputError
from vse.evaluation.comparison import (
    differences,
    differences_cells,
    find_evaluations,
    metrics_cells,
    pick_row,
    rows_of,
)
from vse.evaluation.ranking import evaluate
from vse.evaluation.reports import save_evaluation
from vse.evaluation.tables import format_table

CAPTION_IMAGE = np.arange(200) // 5


def training_record(network: str = "VSEpp", seed: int = 0, **options: Any) -> dict[str, Any]:
    values = {"loss": "lseh", "margin": 0.185, "logger_name": f"/runs/{network}{seed}", "seed": seed, **options}
    return {
        "network": network,
        "options": values,
        "seed": seed,
        "data": {"train": {"captions_sha256": "c" * 64, "features": {"shape": [4, 6], "sampled_sha256": "f" * 64}}},
        "vocabulary": {"words": 9, "sha256": "v" * 64},
        "descriptions": None,
        "started_from": None,
        "environment": {"command": [], "commit": "0" * 40, "dirty": False},
    }


def write_result(
    path: Path, *records: dict[str, Any] | None, signal: float = 1.0, noise: int = 0, **changes: Any
) -> Path:
    """A result of 40 images whose right answers stand out by `signal`; `changes` are made to data or protocol."""
    scores = np.random.default_rng(noise).standard_normal((40, 200)).astype(np.float32)
    scores[CAPTION_IMAGE, np.arange(200)] += signal
    data = {
        "name": "test",
        "images": 40,
        "captions": 200,
        "captions_sha256": "a" * 64,
        "caption_image_sha256": "b" * 64,
        "features": {"shape": [4, 6], "sampled_sha256": "e" * 64},
    }
    models = [{"path": "model", "weights_sha256": f"{number}" * 64, "record": r} for number, r in enumerate(records)]
    record = {
        "kind": "evaluation",
        "models": models,
        "data": data | changes.get("data", {}),
        "protocol": changes.get("protocol", {}),
        "environment": {"command": [], "commit": "0" * 40, "dirty": False},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    metrics = evaluate(scores, CAPTION_IMAGE)
    if changes.get("fold5"):
        metrics["fold5"] = evaluate(scores, CAPTION_IMAGE, fold5=True)
    save_evaluation(path, metrics, torch.from_numpy(scores), CAPTION_IMAGE, record)
    return path


def test_rows_are_told_apart_by_records_not_names(tmp_path: Path) -> None:
    for loss in ("lseh", "lmh"):
        for seed in (0, 1):
            write_result(tmp_path / loss / f"metrics_seed{seed}.json", training_record(loss=loss, seed=seed))
    rows = rows_of(find_evaluations([tmp_path]))
    assert {row.name: len(row.results) for row in rows} == {"VSEpp loss=max_hinge": 2, "VSEpp loss=lseh": 2}


def test_eighteen_results_of_two_networks_never_share_a_row(tmp_path: Path) -> None:
    for network in ("VSEpp", "VSRN"):
        for loss in ("lseh", "lmh", "hal"):
            for seed in range(3):
                path = tmp_path / f"{network}{loss}{seed}" / "test.json"
                write_result(path, training_record(network, seed, loss=loss), noise=seed)
    rows = rows_of(find_evaluations([tmp_path]))
    assert len(rows) == 6
    for row in rows:
        networks = {model["record"]["network"] for r in row.results.values() for model in r.record["models"]}
        assert networks == {row.name.split()[0]}
        assert list(row.results) == [(0,), (1,), (2,)]


def test_what_has_no_effect_makes_no_row(tmp_path: Path) -> None:
    one = write_result(tmp_path / "a.json", training_record(seed=0, device="cpu", workers=0))
    two = write_result(tmp_path / "b.json", training_record(seed=1, device="cuda", workers=4))
    assert len(rows_of(find_evaluations([one, two]))) == 1


def test_the_table_has_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    paths = [write_result(tmp_path / f"{seed}.json", training_record(seed=seed), noise=seed) for seed in range(3)]
    results = find_evaluations(paths)
    rsums = [result.metrics["rsum"] for result in results]
    table = format_table(*metrics_cells(rows_of(results)), "markdown")
    cells = [cell.strip() for cell in table.splitlines()[2].split("|")]
    assert cells[8] == f"{np.mean(rsums):.1f} ± {np.std(rsums, ddof=1):.1f}"
    assert cells[11] == "3"


def test_the_same_seed_twice_is_an_error(tmp_path: Path) -> None:
    paths = [write_result(tmp_path / f"{name}.json", training_record()) for name in "ab"]
    with pytest.raises(InputError, match=r"b\.json: the same seed 0 of the same configuration as .*a\.json"):
        rows_of(find_evaluations(paths))
    assert len(find_evaluations([paths[0], tmp_path / "." / "a.json"])) == 1  # one file named twice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"captions_sha256": "d" * 64}}, "data captions sha256 dddddddd, while"),
        ({"data": {"images": 50}}, "data images 50, while"),
        ({"data": {"name": "dev"}}, "data name dev, while"),
        ({"protocol": {"rerank": "csls"}}, "protocol rerank csls, while"),
    ],
)
def test_unlike_results_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    one = write_result(tmp_path / "a.json", training_record(seed=0))
    two = write_result(tmp_path / "b.json", training_record(seed=1), **changes)
    with pytest.raises(InputError, match=words):
        rows_of(find_evaluations([one, two]))


def test_warm_starts_of_the_same_kind_share_a_row(tmp_path: Path) -> None:
    def begun(seed: int, loss: str) -> dict[str, Any]:
        start = {
            "path": f"/warm{seed}",
            "weights_sha256": f"{seed}" * 64,
            "record": training_record(seed=seed, loss=loss),
        }
        return {**training_record(seed=seed), "started_from": start}

    for seed in (0, 1):
        write_result(tmp_path / f"{seed}.json", begun(seed, "sum_hinge"))
    write_result(tmp_path / "other.json", begun(0, "infonce"))
    rows = rows_of(find_evaluations([tmp_path]))
    assert sorted((row.name, len(row.results)) for row in rows) == [
        ("VSEpp start_loss=infonce", 1),
        ("VSEpp start_loss=sum_hinge", 2),
    ]


def test_an_ensemble_is_a_row_of_its_own(tmp_path: Path) -> None:
    one = write_result(tmp_path / "a.json", training_record(seed=0))
    both = write_result(tmp_path / "b.json", training_record(seed=0), training_record(seed=1))
    rows = rows_of(find_evaluations([one, both]))
    assert [list(row.results) for row in rows] == [[(0,)], [(0, 1)]]
    assert rows[1].name.startswith("VSEpp+VSEpp")


def test_a_published_checkpoint_is_known_by_its_weights(tmp_path: Path) -> None:
    one = write_result(tmp_path / "a.json", None)
    two = write_result(tmp_path / "b.json", training_record())
    assert len(rows_of(find_evaluations([one, two]))) == 2


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="no results in this folder"):
        find_evaluations([tmp_path])


def test_other_json_files_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(training_record()))
    write_result(tmp_path / "test.json", training_record())
    assert len(find_evaluations([tmp_path])) == 1


def three_rows(tmp_path: Path) -> list:
    """A row, one much better, and one that is the same but for noise; seeds 0, 1, 2, the last one also 3."""
    for loss, signal, seeds in (("lseh", 1.0, 3), ("hal", 2.5, 3), ("lmh", 1.0, 4)):
        for seed in range(seeds):
            noise = seed + 100 * (loss == "lmh")
            write_result(
                tmp_path / f"{loss}{seed}.json", training_record(seed=seed, loss=loss), signal=signal, noise=noise
            )
    return rows_of(find_evaluations([tmp_path]))


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    rows = three_rows(tmp_path)
    against = pick_row(rows, "loss=lseh")
    found = {item.name.split("=")[1]: item for item in differences(rows, against)}
    hal = found["hal"]
    rsums = {row.name: row.values("rsum") for row in rows}
    paired = np.subtract(rsums["VSEpp loss=hal"], rsums["VSEpp loss=lseh"])
    assert (hal.change.mean, hal.change.deviation) == pytest.approx((paired.mean(), paired.std(ddof=1)))
    assert hal.interval[0] < paired.mean() < hal.interval[1]
    assert hal.interval[0] > 0
    assert hal.queries_p < 0.001
    assert hal.seeds_p is not None
    assert hal.seeds_p < 0.05
    assert hal.seeds_needed is not None
    assert hal.seeds_needed <= 3
    lmh = found["max_hinge"]
    assert lmh.seeds == [(0,), (1,), (2,)]
    assert lmh.interval[0] < 0 < lmh.interval[1]
    assert lmh.queries_p > 0.05


def test_p_values_are_corrected_for_the_number_of_rows(tmp_path: Path) -> None:
    rows = three_rows(tmp_path)
    against = pick_row(rows, "loss=lseh")
    alone = differences([against, pick_row(rows, "loss=hal")], against)[0]
    among = {item.name: item for item in differences(rows, against)}[alone.name]
    assert among.queries_p == pytest.approx(2 * alone.queries_p)


def test_rows_without_a_common_seed_are_refused(tmp_path: Path) -> None:
    one = write_result(tmp_path / "a.json", training_record(seed=0))
    two = write_result(tmp_path / "b.json", training_record(seed=1, loss="hal"))
    rows = rows_of(find_evaluations([one, two]))
    with pytest.raises(InputError, match="paired by seed"):
        differences(rows, rows[0])


def test_the_table_of_differences_says_what_it_found(tmp_path: Path) -> None:
    rows = three_rows(tmp_path)
    against = pick_row(rows, "1")
    table = format_table(*differences_cells(differences(rows, against), "rsum", against.name), "markdown")
    assert f"rsum less that of {against.name}" in table
    assert "< 0.001" in table
    assert "0, 1, 2" in table


def test_a_row_is_picked_by_number_name_or_part(tmp_path: Path) -> None:
    rows = three_rows(tmp_path)
    assert pick_row(rows, "2") is rows[1]
    assert pick_row(rows, rows[2].name) is rows[2]
    assert pick_row(rows, "lmh") is pick_row(rows, "max_h") is rows[1]
    for wanted in ("loss=infonce", "VSEpp"):
        with pytest.raises(InputError, match=f"--against {wanted}: .*1 VSEpp loss=hal"):
            pick_row(rows, wanted)


def test_csv_names_columns_by_metric(tmp_path: Path) -> None:
    head = format_table(*metrics_cells(three_rows(tmp_path), "csv"), "csv").splitlines()[0].split(",")
    assert head[:3] == ["run", "r1", "r1 sd"]
    assert len(set(head)) == len(head)


def changed(path: Path, value: Any, *keys: str | int) -> Path:
    """Put a value into a result; `...` removes what is there."""
    content = json.loads(path.read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    if value is ...:
        del part[keys[-1]]
    else:
        part[keys[-1]] = value
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("rsum",), 599.0),
        (("rsum",), None),
        (("rsum",), "99"),
        (("r5i",), ...),
        (("hub_skewness",), [1.0]),
        (("ranks", "image_to_text"), " ".join(["0"] * 40)),
    ],
)
def test_metrics_that_ranks_do_not_give_are_refused(tmp_path: Path, keys: tuple[str, ...], value: Any) -> None:
    path = changed(write_result(tmp_path / "test.json", training_record()), value, *keys)
    with pytest.raises(InputError, match=r"test.json: \w+ is .*, which its ranks do not give; evaluate again"):
        rows_of(find_evaluations([path]))


MODEL = ("record", "models", 0, "record")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("record", "models"), ...),
        (("record", "models"), []),
        (("record", "models"), "abc"),
        (("record", "protocol"), []),
        (("record", "environment"), ...),
        (("record", "data", "features"), ...),
        (MODEL, "abc"),
        ((*MODEL, "options"), ["loss"]),
        ((*MODEL, "seed"), [1]),
        ((*MODEL, "data", "train", "features"), None),
        ((*MODEL, "environment"), ...),
    ],
)
def test_an_incomplete_record_is_refused_by_file(tmp_path: Path, keys: tuple[str | int, ...], value: Any) -> None:
    path = changed(write_result(tmp_path / "test.json", training_record()), value, *keys)
    with pytest.raises(InputError, match=r"test.json: its record is incomplete"):
        rows_of(find_evaluations([path]))


def test_a_single_row_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    rows = rows_of(find_evaluations([write_result(tmp_path / "test.json", training_record())]))
    with pytest.raises(InputError, match="VSEpp is the only row"):
        differences(rows, rows[0])


def test_a_model_of_which_nothing_is_recorded_is_refused(tmp_path: Path) -> None:
    path = write_result(tmp_path / "a.json", None)
    content = json.loads(path.read_text())
    content = copy.deepcopy(content)
    del content["record"]["models"][0]["weights_sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="nothing is recorded of its model"):
        rows_of(find_evaluations([path]))


def test_folds_are_compared_by_their_own_metrics_and_ranks(tmp_path: Path) -> None:
    path = write_result(tmp_path / "a.json", training_record(), fold5=True)
    whole, folded = (find_evaluations([path], fold5=fold5)[0] for fold5 in (False, True))
    assert folded.metrics["rsum"] > whole.metrics["rsum"]  # a gallery of 8 images is easier than one of 40
    for ranks, suffix in ((folded.image_to_text, ""), (folded.text_to_image, "i")):
        assert 100 * np.mean(ranks < 5) == pytest.approx(folded.metrics[f"r5{suffix}"])
    with pytest.raises(InputError, match="protocol folds 5"):
        rows_of([whole, folded])


def test_a_result_without_folds_has_none_to_compare(tmp_path: Path) -> None:
    path = write_result(tmp_path / "a.json", training_record())
    with pytest.raises(InputError, match=r"a\.json: evaluated without --fold5"):
        find_evaluations([path], fold5=True)


def test_an_alias_of_an_objective_shares_its_row(tmp_path: Path) -> None:
    for seed, loss in enumerate(("lmh", "max_hinge")):
        write_result(tmp_path / f"{seed}.json", training_record(loss=loss, seed=seed))
    assert [len(row.results) for row in rows_of(find_evaluations([tmp_path]))] == [2]


def test_the_same_scores_twice_are_an_error(tmp_path: Path) -> None:
    for name in "ab":
        write_result(tmp_path / f"{name}.json", None)
    with pytest.raises(InputError, match="the same model as"):
        rows_of(find_evaluations([tmp_path]))
