"""Plots say what they are given: names as they are, means where all seeds have a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vse.tools import plots
from vse.tools.plots import draw_curves, draw_points

pytest.importorskip("matplotlib")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of what is drawn; no file is written."""
    axes: list[Any] = []

    def keep(figure: Any, stem: Path) -> bytes:
        axes.extend(figure.axes)
        return b""

    monkeypatch.setattr(plots, "_save", keep)
    return axes


def test_the_mean_is_drawn_where_all_seeds_have_a_value(drawn: list[Any]) -> None:
    draw_curves(Path("a"), {"LSEH": [[(1, 10.0), (2, 20.0), (3, 40.0)], [(1, 30.0), (2, 40.0)]]}, "rsum")
    first, second, thick = drawn[0].lines
    assert (len(first.get_xdata()), len(second.get_xdata())) == (3, 2)
    assert list(zip(thick.get_xdata(), thick.get_ydata(), strict=True)) == [(1, 20), (2, 30)]


def test_every_seed_is_a_point_and_every_mean_a_bar(drawn: list[Any]) -> None:
    draw_points(Path("a"), {"first": [1.0, 3.0], "second": [5.0]}, "rsum")
    assert [list(line.get_xdata()) for line in drawn[0].lines] == [[1, 3], [2], [5], [5]]
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["first", "second"]


def test_a_dollar_in_a_name_begins_no_formula(tmp_path: Path) -> None:
    svg = draw_points(tmp_path / "points", {"$x^$ of $y": [1.0]}, "rsum")
    assert {path.name for path in tmp_path.iterdir()} == {"points.png", "points.svg"}
    assert (tmp_path / "points.svg").read_bytes() == svg
