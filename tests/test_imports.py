"""The rooms of `vse/`: imports point downwards without circles or detours, and the tests mirror the modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

VSE = Path(__file__).resolve().parents[1] / "vse"

LEVELS = {
    "root": 0,
    "formats": 0,
    "published": 1,
    "text": 2,
    "descriptions": 3,
    "data": 4,
    "losses": 5,
    "nn": 5,
    "networks": 6,
    "evaluation": 7,
    "training": 8,
    "inference": 8,
    "search": 8,
    "tools": 8,
    "__main__": 8,
}
"""Room -> its level; a module imports from its own level and from those below. Other modules of `vse/` are the root."""

INSIDE_FUNCTIONS = {
    ("vse.descriptions.prepare", "vse.descriptions.svd"): "its libraries take seconds to import",
    ("vse.tools.judge", "vse.descriptions.svd"): "its libraries take seconds to import",
    ("vse.nn.towers.tower", "vse.nn.towers.from_torchvision"): "torchvision takes a second to import",
    ("vse.networks", "vse.formats.exported"): "torch takes a second to import, and --help answers without it",
    ("vse.networks", "vse.checkpoints"): "torch takes a second to import, and --help answers without it",
    ("vse.networks", "vse.losses"): "torch takes a second to import, and --help answers without it",
    ("vse.networks", "vse.published.checkpoints"): "torch takes a second to import, and --help answers without it",
}
"""(module, what it imports inside a function) -> why."""

UPWARDS: dict[tuple[str, str], str] = {}
"""(module, what it imports from a level above) -> why."""

CIRCLES: dict[tuple[str, str], str] = {}
"""(module, what it imports although that imports the module) -> why."""

TYPE_CHECKING = {"vse.networks": "torch takes a second to import, and --help answers without it"}
"""Module that imports for type checkers only -> why."""


class Import(NamedTuple):
    module: str
    imported: str
    inside_function: bool


@cache
def trees() -> dict[str, ast.Module]:
    """Module name -> its syntax tree."""
    found = {}
    for path in VSE.rglob("*.py"):
        parts = path.relative_to(VSE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def imports() -> Iterator[Import]:
    """Every import of one module of `vse/` by another."""
    for module, tree in trees().items():
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in trees() else str(node.module) for name in names]
            else:
                continue
            for name in names:
                if name in trees() and name != module:
                    yield Import(module, name, id(node) in inside)


def level(module: str) -> int:
    parts = module.split(".")
    room = parts[1] if len(parts) > 2 or parts[-1] in LEVELS else "root"
    assert room in LEVELS, f"{module}: a room without a level"
    return LEVELS[room]


def test_imports_point_downwards() -> None:
    upwards = {(i.module, i.imported) for i in imports() if level(i.module) < level(i.imported)}
    assert upwards == set(UPWARDS)


def test_modules_import_each_other_in_no_circle() -> None:
    edges = {(i.module, i.imported) for i in imports()}
    assert set(CIRCLES) <= edges, "leave out what is no import any more"
    graph: dict[str, set[str]] = {module: set() for module in trees()}
    for module, imported in edges - set(CIRCLES):
        graph[module].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


def test_functions_import_modules_for_a_stated_reason() -> None:
    assert {(i.module, i.imported) for i in imports() if i.inside_function} == set(INSIDE_FUNCTIONS)


def test_nothing_is_imported_for_type_checkers_alone() -> None:
    guarded = {
        module
        for module, tree in trees().items()
        if any(isinstance(node, ast.Name) and node.id == "TYPE_CHECKING" for node in ast.walk(tree))
    }
    assert guarded == set(TYPE_CHECKING)


def test_every_module_has_a_test_file_of_its_name() -> None:
    modules = [path.relative_to(VSE) for path in VSE.rglob("*.py") if path.name != "__init__.py"]
    tests = VSE.parent / "tests"
    assert [str(module) for module in modules if not (tests / module.with_name(f"test_{module.name}")).is_file()] == []
