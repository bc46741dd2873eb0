"""What docs/objectives.md and docs/extending.md say about objectives."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from vse.losses import OBJECTIVES, Objective, ObjectiveOptions, build_objective, resolve

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMON = {field.name for field in fields(Objective)}


def section(name: str) -> str:
    """The section of an objective, on one line."""
    sections = re.split(r"(?m)^## ", (DOCS / "objectives.md").read_text())
    (found,) = [text for text in sections if text.startswith(f"`{name}`")]
    return " ".join(found.split())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_numeric_constant_is_documented_with_its_default(name: str):
    text = section(name)
    assert "Source: " in text
    for field in fields(OBJECTIVES[name]):
        numbers = field.default if isinstance(field.default, tuple) else (field.default,)
        if field.name not in COMMON and not any(isinstance(number, (str, bool)) for number in numbers):
            assert f"`{field.name}` {' '.join(f'{number:g}' for number in numbers)}" in text, field.name


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_overview_states_what_each_objective_is(name: str):
    (row,) = [line for line in (DOCS / "objectives.md").read_text().splitlines() if line.startswith(f"| `{name}`")]
    objective = OBJECTIVES[name]()
    _, _, _, over, rule, reads, gradient, _ = (cell.strip() for cell in row.split("|"))
    assert rule.replace(" ", "_") == objective.same_image
    assert ("descriptions" in reads) == objective.needs_descriptions
    assert ("bounded scores" in reads) == objective.needs_bounded_scores
    assert ("embeddings" in reads) == objective.needs_embeddings
    chooses = "max_violation" in objective.constants()
    assert gradient.startswith("sparse") == (objective.sparse_gradient or chooses)
    assert over == ("mean" if objective.averaged else "sum")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_warm_up_exists_where_it_is_documented(name: str):
    flags = {"max_violation": True} if name in ("lseh", "sam", "soft_margin") else {}
    objective = build_objective(resolve(ObjectiveOptions(loss=name, **flags)))
    documented = name in ("lseh", "sam", "soft_margin", "max_hinge", "luwm", "hal", "selhn", "tal", "unihn")
    assert (objective.sum_form() is not None) == documented


def example() -> str:
    """The Python block about objectives in docs/extending.md."""
    text = (DOCS / "extending.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text.split("## An objective")[1].split("\n## ")[0], re.DOTALL)
    return code


def test_example_of_an_own_objective_has_at_most_20_lines():
    assert len(example().strip().splitlines()) <= 20


def test_example_of_an_own_objective_trains_and_evaluates(script, data_root: Path, tmp_path: Path):
    file = tmp_path / "my_loss.py"
    file.write_text(example())
    small = "--embed_size 16 --word_dim 8 --batch_size 16 --num_epochs 2"
    command = f"python train.py --data_path {data_root} --data_name small --loss {file}:KHardest {small}"
    done = script("VSEpp_LSEH", command)
    assert "objective: KHardest(margin=0.2, k=3)" in done.output
    assert json.loads((done.folder / "runs/runX/options.json").read_text())["loss"] == f"{file}:KHardest"
    file.write_text("raise SystemExit('evaluation must not run this')")
    assert "rsum" in script("VSEpp_LSEH", "python evaluation.py").output


def test_mistake_in_an_own_objective_writes_nothing(script, data_root: Path, tmp_path: Path):
    file = tmp_path / "my_loss.py"
    file.write_text(example().replace("topk(", "topq("))
    command = f"python train.py --data_path {data_root} --data_name small --loss {file}:KHardest"
    done = script("VSEpp_LSEH", command, status=2)
    assert re.match(r"error: --loss .*my_loss.py:KHardest: line 18: AttributeError: ", done.errors)
    assert not (done.folder / "runs").exists()
