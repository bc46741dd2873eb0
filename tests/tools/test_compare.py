"""`python -m vse compare`, as a command."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.evaluation.test_comparison import training_record, write_result
from vse.errors import InputError
from vse.tools.compare import main
from vse.tools.options import CompareOptions


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for loss, signal in (("lseh", 1.0), ("hal", 2.5)):
        for seed in (0, 1):
            path = tmp_path / "runs" / f"{loss}{seed}" / "test.json"
            write_result(path, training_record(seed=seed, loss=loss), signal=signal, noise=seed)
    return tmp_path / "runs"


def test_a_folder_becomes_a_table(results: Path, capsys) -> None:
    main(CompareOptions((str(results),)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "test, full split: 40 images, 200 captions"
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["VSEpp loss=hal", "VSEpp loss=lseh"]


def test_differences_to_a_row_come_with_an_explanation(results: Path, capsys) -> None:
    main(CompareOptions((str(results),), against="loss=lseh", metric="r1i"))
    printed = capsys.readouterr().out
    assert "r1i less that of VSEpp loss=lseh" in printed
    assert "paired by seed" in printed


@pytest.mark.parametrize(("form", "words"), [("latex", "\\toprule"), ("csv", "run,r1,r1 sd")])
def test_tables_come_in_other_forms(results: Path, capsys, form, words: str) -> None:
    main(CompareOptions((str(results),), format=form))
    assert words in capsys.readouterr().out


def test_csv_is_one_table_with_differences_unrounded(results: Path, capsys) -> None:
    main(CompareOptions((str(results),), against="loss=lseh", format="csv"))
    hal, lseh = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(hal["rsum less that of VSEpp loss=lseh"]) == pytest.approx(float(hal["rsum"]) - float(lseh["rsum"]))
    assert 0 < float(hal["95 % low"]) < float(hal["95 % high"])
    assert float(hal["p, queries"]) == pytest.approx(1 / 10_001)
    assert (hal["paired seeds"], lseh["paired seeds"], lseh["95 % low"]) == ("0, 1", "", "")


def test_nothing_is_printed_before_a_refusal(results: Path, capsys) -> None:
    with pytest.raises(InputError, match="--against infonce: no row fits"):
        main(CompareOptions((str(results),), against="infonce"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("best", "told"), [(5, True), (6, False)])
def test_models_from_the_warm_up_are_pointed_out(tmp_path: Path, capsys, best: int, told: bool) -> None:
    record = training_record(loss="lmh", warmup_epochs=5.0) | {"best_epoch": best}
    main(CompareOptions((str(write_result(tmp_path / "test.json", record)),)))
    said = capsys.readouterr().err
    assert ("models of these rows are from the warm-up, before the objective began: VSEpp" in said) == told


def test_results_of_two_commits_are_pointed_out(results: Path, capsys) -> None:
    record = training_record(seed=2)
    record["environment"] = {"command": [], "commit": "1" * 40, "dirty": True}
    write_result(results / "new.json", record)
    main(CompareOptions((str(results),)))
    assert "2 versions of the code: 00000000, 11111111 with changes" in capsys.readouterr().err


def test_metrics_without_records_are_never_averaged(tmp_path: Path) -> None:
    paths = [tmp_path / loss / "metrics_seed0.json" for loss in ("lseh", "lmh")]
    for path in paths:
        path.parent.mkdir()
        path.write_text('{"r1": 2.0, "rsum": 98.5}')
    with pytest.raises(InputError, match="without a record of network, options, seed and data"):
        main(CompareOptions(tuple(map(str, paths))))


def test_a_damaged_result_in_a_folder_is_refused(results: Path) -> None:
    damaged = results / "lseh1" / "test.json"
    damaged.write_text(damaged.read_text()[:500])
    with pytest.raises(InputError, match=r"lseh1/test\.json: not JSON"):
        main(CompareOptions((str(results),)))


def test_runs_in_progress_are_named(results: Path, capsys) -> None:
    for name, ended in (("hal0", "2026-01-01"), ("hal1", None)):
        (results / name / "run.json").write_text(json.dumps({"ended": ended}))
    main(CompareOptions((str(results),)))
    assert capsys.readouterr().err.strip().endswith(f"may still change: {results / 'hal1'}")
