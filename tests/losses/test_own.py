"""Objectives from a user's own file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from vse.errors import InputError
from vse.losses import ObjectiveOptions, Pairs, build_objective, resolve

GOOD = """
import torch
from vse.losses import Objective

class Ours(Objective):
    def __init__(self, margin=0.2):
        super().__init__()
        self.margin = margin
        self.scale = torch.nn.Parameter(torch.ones(()))

    def directions(self, scores, pairs):
        roles = self.roles(pairs)
        costs = (self.margin + self.scale * scores - scores.diagonal()[:, None]).clamp(min=0)
        costs = costs.masked_fill(~roles.negatives, 0.0)
        return costs.sum(), costs.sum()
"""


def named(tmp_path: Path, text: str, name: str = "Ours") -> str:
    (tmp_path / "ours.py").write_text(text)
    return f"{tmp_path}/ours.py:{name}"


def test_class_is_built_with_its_constructors_defaults(tmp_path: Path):
    options = resolve(ObjectiveOptions(loss=named(tmp_path, GOOD)))
    objective = build_objective(options)
    ids = torch.arange(3)
    assert objective.margin == 0.2
    assert list(objective.state_dict()) == ["scale"]
    assert objective(torch.zeros(3, 3), Pairs(ids, ids)).item() == pytest.approx(2 * 6 * 0.2)
    assert repr(objective) == "Ours(margin=0.2)"


def test_dataclass_shows_its_constants(tmp_path: Path):
    text = """
from dataclasses import dataclass
from vse.losses import MaxHinge

@dataclass(eq=False, repr=False)
class Ours(MaxHinge):
    extra: float = 3.0
"""
    objective = build_objective(resolve(ObjectiveOptions(loss=named(tmp_path, text))))
    assert repr(objective) == "Ours(margin=0.2, extra=3.0)"


def test_trying_it_out_draws_no_random_number(tmp_path: Path):
    text = GOOD.replace("torch.ones(())", "torch.randn(())")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    resolve(ObjectiveOptions(loss=named(tmp_path, text)))
    assert torch.rand(1) == expected


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (GOOD, "Other", r"has no class Other; it has Ours$"),
        ("class Ours: pass", "Ours", "derived from vse.losses.Objective"),
        ("import nothing_like_this", "Ours", r"line 1: ModuleNotFoundError: No module named"),
        ("def broken(:", "Ours", r"line 1: SyntaxError"),
        (GOOD.replace("margin=0.2", "margin"), "Ours", r"TypeError.*margin"),
        (GOOD.replace("scores.diagonal()", "scores.diag_nal()"), "Ours", r"line 13: AttributeError"),
        (GOOD.replace("return costs.sum(), costs.sum()", "return costs.sum()"), "Ours", "tuple of two tensors"),
        (GOOD.replace("return costs.sum(), costs.sum()", "return costs, costs"), "Ours", "tuple of two tensors"),
    ],
)
def test_mistake_in_the_file_is_one_sentence(tmp_path: Path, text: str, name: str, message: str):
    loss = named(tmp_path, text, name)
    with pytest.raises(InputError, match=message) as refusal:
        resolve(ObjectiveOptions(loss=loss))
    assert str(refusal.value).startswith(f"--loss {loss}: ")
    assert "\n" not in str(refusal.value)


def test_missing_file_is_refused():
    with pytest.raises(InputError, match=r"no file nowhere.py; expected FILE.py:ClassName"):
        resolve(ObjectiveOptions(loss="nowhere.py:Ours"))


@pytest.mark.parametrize("option", [{"margin": 0.3}, {"same_image": "ignore"}, {"max_violation": True}])
def test_constants_are_set_in_the_file(tmp_path: Path, option: dict):
    loss = named(tmp_path, GOOD)
    with pytest.raises(InputError, match=re.escape(f"--{next(iter(option))} does nothing for your own objective")):
        resolve(ObjectiveOptions(loss=loss, **option))
