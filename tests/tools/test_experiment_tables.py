"""What an experiment ends in: its tables, plots and page, and what they leave out."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.tools.experiments import add, table
from vse.errors import InputError
from vse.tools.experiment import main
from vse.tools.options import ExperimentOptions


def differences_of(folder: Path) -> str:
    return (folder / "report" / "report.md").read_text().split("less that of")[1].split("\n\n")[0]


def test_a_plan_ends_in_a_table_of_its_rows(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    first, second = table(tmp_path / "out")
    # Warm starts end with 3 epochs at 35 + seed, cells with 4 at 40 + seed, and 30 more for HAL.
    assert (first["run"], float(first["rsum"]), float(first["rsum sd"])) == ("LMH", 76.0, pytest.approx(2**0.5))
    assert (second["run"], float(second["rsum"])) == ("HAL | mine", 106.0)
    assert (first["best epoch"], first["within 1 %"], first["seeds"]) == ("4, 4", "4, 4", "0, 1")


def test_every_seed_and_every_epoch_are_kept_as_csv(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    with (tmp_path / "out" / "report" / "seeds.csv").open() as file:
        seeds = [(row["run"], row["seed"], float(row["rsum"])) for row in csv.DictReader(file)]
    assert seeds == [("LMH", "0", 75.0), ("HAL | mine", "0", 105.0), ("LMH", "1", 77.0), ("HAL | mine", "1", 107.0)]
    with (tmp_path / "out" / "report" / "curves.csv").open() as file:
        curve = [float(row["rsum"]) for row in csv.DictReader(file) if (row["run"], row["seed"]) == ("LMH", "0")]
    assert curve == [45.0, 55.0, 65.0, 75.0]


def test_every_epoch_on_test_tells_what_that_habit_is_worth(plan: Path, tmp_path: Path) -> None:
    add(plan, "test_every_epoch = true")
    main(ExperimentOptions(str(plan), out="out"))
    first = table(tmp_path / "out")[0]
    # After epoch 1, 45 + 50 and 47 + 50 on test; the last epoch, which dev chose, has 75 and 77.
    assert float(first["rsum"]) == 76.0
    assert float(first["rsum if selected on test"]) == 96.0
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "Selecting on test instead of dev would add 20.0 to rsum on average over 4 runs" in report


def test_ensembles_are_rows_of_their_own(plan: Path, tmp_path: Path) -> None:
    add(plan, "ensembles = [[0, 1]]")
    main(ExperimentOptions(str(plan), out="out"))
    rows = {row["run"]: row for row in table(tmp_path / "out")}
    assert float(rows["LMH, mean of seeds 0 and 1"]["rsum"]) == 76.0
    assert rows["LMH, mean of seeds 0 and 1"]["seeds"] == "0+1"
    assert "LMH, mean" not in differences_of(tmp_path / "out")


def test_the_report_has_differences_to_the_first_row(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    assert "HAL" in differences_of(tmp_path / "out")
    assert "+30.0 ± 0.0" in differences_of(tmp_path / "out")
    add(plan, 'against = "HAL | mine"')
    main(ExperimentOptions(str(plan), out="out", report=True))
    assert "-30.0 ± 0.0" in differences_of(tmp_path / "out")


def test_an_unfinished_plan_reports_what_is_there(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    (tmp_path / "out" / "demo__net__hal_mine__seed_1" / "test.json").unlink()
    main(ExperimentOptions(str(plan), out="out", report=True))
    assert [row["seeds"] for row in table(tmp_path / "out")] == ["0, 1", "0"]
    assert not (tmp_path / "out" / "demo__net__hal_mine__seed_1" / "test.json").exists()


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [str(value) for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_needs_no_other_file(plan_with_plots: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan_with_plots), out="out"))
    text = (tmp_path / "out" / "report" / "report.html").read_text()
    links = Links()
    links.feed(text)
    assert not links.open
    pictures = [source for source in links.sources if not source.startswith("#")]
    assert len(pictures) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in pictures)
    assert "<title>A &amp; &lt;b&gt;</title>" in text
    assert "<b>" not in text
    assert re.search(r"<td>76\.0 ± 1\.4</td>", text)


def test_plots_are_png_and_svg_and_the_same_each_time(plan_with_plots: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan_with_plots), out="out"))
    folder = tmp_path / "out" / "report"
    names = {f"{name}_demo.{kind}" for name in ("curves", "points") for kind in ("png", "svg")}
    assert names == {path.name for path in folder.iterdir() if path.suffix in (".png", ".svg")}
    before = {name: (folder / name).read_bytes() for name in names}
    main(ExperimentOptions(str(plan_with_plots), out="out", report=True))
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_a_report_leaves_out_what_other_commands_made(plan: Path, tmp_path: Path, capsys) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    plan.write_text(plan.read_text().replace('LMH = "--loss lmh"', 'LMH = "--loss lmh --margin 0.5"'))
    main(ExperimentOptions(str(plan), out="out", report=True))
    assert [row["run"] for row in table(tmp_path / "out")] == ["HAL | mine"]
    assert "lmh__seed_0: made by other commands than this plan's" in capsys.readouterr().err


def test_a_report_leaves_out_other_evaluations(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    add(plan, 'evaluate = "--split dev"')
    with pytest.raises(InputError, match="no run is finished"):
        main(ExperimentOptions(str(plan), out="out", report=True))


def test_a_report_can_be_made_where_the_runs_were_moved_to(plan: Path, tmp_path: Path) -> None:
    main(ExperimentOptions(str(plan), out="out"))
    before = table(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    main(ExperimentOptions(str(plan), out="elsewhere", report=True))
    assert table(tmp_path / "elsewhere") == before
