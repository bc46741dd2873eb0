"""Objectives from a user's file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs


@cache
def load_objective_class(name: str) -> type[Objective]:
    """Return the class that `FILE.py:ClassName` names. The file is executed.

    Only a name on the command line comes here; a checkpoint holds the name and nothing opens it.

    Raises:
        InputError: there is no such file or class, the file fails, or the class is no objective that can be built
            without arguments and returns two scalars.
    """
    file, _, class_name = name.rpartition(":")
    module = _execute(Path(file), name)
    kind = getattr(module, class_name, None)
    if kind is None:
        classes = [key for key, value in vars(module).items() if _is_objective(value) and value is not Objective]
        raise InputError(f"--loss {name}: {file} has no class {class_name}; it has {', '.join(classes) or 'none'}")
    if not _is_objective(kind):
        raise InputError(f"--loss {name}: expected a class derived from vse.losses.Objective, which is a module")
    _try_out(kind, name)
    return kind


def _is_objective(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Objective)


def _execute(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise InputError(f"--loss {name}: no file {path}; expected FILE.py:ClassName")
    specification = importlib.util.spec_from_file_location(f"own_objective_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise InputError(f"--loss {name}: {path} is no Python file; expected FILE.py:ClassName")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # where dataclasses look up annotations
    try:
        specification.loader.exec_module(module)
    except Exception as problem:
        raise InputError(f"--loss {name}: {_where(problem, path)}") from problem
    return module


def _try_out(kind: type[Objective], name: str) -> None:
    """Build the objective and compute one small batch, so that a mistake ends the run before anything is written."""
    path = Path(name.rpartition(":")[0])
    ids = torch.arange(3)
    pairs = Pairs(ids, ids, torch.eye(3))
    with torch.random.fork_rng(devices=[]):
        try:
            objective = kind()
            found = objective.directions(torch.eye(3), pairs)
        except InputError as problem:
            raise InputError(f"--loss {name}: {problem}") from problem
        except Exception as problem:
            raise InputError(f"--loss {name}: {_where(problem, path)}") from problem
    scalars = isinstance(found, tuple) and len(found) == 2 and all(_is_scalar(part) for part in found)
    if not scalars:
        raise InputError(
            f"--loss {name}: directions() returned {type(found).__name__}; expected a tuple of two tensors without "
            "dimensions, image-to-text and text-to-image"
        )


def _is_scalar(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _where(problem: Exception, path: Path) -> str:
    """Say what went wrong in the user's file, and in which line of it."""
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if Path(frame.filename) == path]
    if isinstance(problem, SyntaxError):
        lines = [problem.lineno]
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(problem).__name__}: {problem}".replace("\n", " ")
