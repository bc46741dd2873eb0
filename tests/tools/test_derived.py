"""Files that were made from others: which are up to date, which are outdated, of which nothing is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools.test_check import report, table
from vse.data.preparing import prepare_data_set
from vse.data.vocabularies import prepare_vocabulary
from vse.tools import prepare
from vse.tools.options import PrepareOptions

MakeDataSet = Callable[..., Path]


def states(found: dict[str, Any]) -> dict[str, str]:
    return {row["file"]: row["state"] for row in found["derived"]}


def test_derived_files_tell_what_they_were_made_from(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x_precomp")
    prepare.main(PrepareOptions(str(folder)))
    found = report(folder, capsys)
    assert set(states(found).values()) == {"up to date"}
    assert {row["file"]: row["made from"] for row in found["derived"]}["vocab.json"] == "train_caps.txt, dev_caps.txt"
    (folder / "train_caps.txt").write_text((folder / "train_caps.txt").read_text().replace("dog", "wolf"))
    found = report(folder, capsys, problems=True)
    assert states(found)["vocab.json"] == states(found)["train_svd.txt"] == "outdated"
    assert any(state.startswith("of other captions") for state in states(found).values())
    assert any("vocab.json: made from train_caps.txt, which has changed since" in line for line in found["problems"])


def test_an_outdated_index_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepare_data_set(table(tmp_path / "mine"), None)
    prepare_vocabulary(None, None, folder, threshold=1)
    table(folder, word="cat")
    found = report(folder, capsys, problems=True)
    assert states(found)["train_caps.txt"] == "outdated"
    assert states(found)["vocab.json"] == "up to date"
    (folder / "index.json").unlink()
    assert report(folder, capsys)["problems"] == []


def test_damaged_records_are_problems_and_no_more(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x")
    for name in ("vocab.json", "features.json", "train_parse.json"):
        (folder / name).write_text("{")
    found = report(folder, capsys, problems=True)
    assert len(found["splits"]) == 3
    for name in ("features.json", "train_parse.json"):
        assert any(f"{name}, line 1: not JSON" in problem for problem in found["problems"])
