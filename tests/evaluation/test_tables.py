"""Tables of results in three forms."""

from __future__ import annotations

import csv

import numpy as np

from vse.evaluation.tables import format_table, spread

ROWS = [["a|b_c", spread([1.0, 2.0, 4.0]), "3"], ["d", spread([5.0], 2), "1"]]
HEADS = ["run", "rsum", "seeds"]


def test_markdown_shows_mean_and_sample_deviation() -> None:
    lines = format_table(HEADS, ROWS, "markdown").splitlines()
    assert "2.3 ± 1.5" in lines[2]
    assert "a\\|b_c" in lines[2]
    assert "5.00 |" in lines[3]


def test_markup_in_names_and_heads_shows_as_it_is_written() -> None:
    name = r"<b>*a*</b> _c_ `d` \e [f](g) 5 % & $x$ #1 {y}~^z"
    markdown, latex = (format_table([f"less {name}"], [[name], ["< 0.001"]], form) for form in ("markdown", "latex"))
    assert markdown.count(r"\<b>\*a\*\</b> \_c\_ \`d\` \\e \[f](g) 5 % & $x$ #1 {y}~^z") == 2
    assert "| < 0.001" in markdown
    for special in (r"\_c\_", r"5 \% \& \$x\$ \#1 \{y\}", r"\textbackslash"):
        assert latex.count(special) == 2


def test_latex_escapes_and_sets_plus_minus() -> None:
    table = format_table(HEADS, ROWS, "latex")
    assert "2.3 $\\pm$ 1.5" in table
    assert "b\\_c" in table
    assert "\\toprule" in table


def test_csv_has_numbers_in_columns_of_their_own() -> None:
    head, first, second = csv.reader(format_table(HEADS, ROWS, "csv").splitlines())
    assert head == ["run", "rsum", "rsum sd", "seeds"]
    assert first[0] == "a|b_c"
    np.testing.assert_allclose([float(first[1]), float(first[2])], [7 / 3, np.std([1, 2, 4], ddof=1)])
    assert second == ["d", "5.0", "", "1"]


def test_csv_keeps_columns_where_a_cell_is_empty() -> None:
    lines = list(csv.reader(format_table(HEADS, [*ROWS, ["e", "", "2"]], "csv").splitlines()))
    assert lines[-1] == ["e", "", "", "2"]
