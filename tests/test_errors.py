"""A user's mistake is one sentence, and it reaches the end of the script as it was raised."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

from vse.errors import InputError, meant
from vse.networks import FOLDERS

ROOT = Path(__file__).resolve().parents[1]


def messages() -> Iterator[tuple[str, str]]:
    """Every message that an `InputError` is raised with: its place, its text with `X` for what is filled in."""
    for room in ("vse", "IAPRTC12", *FOLDERS.values()):
        for path in sorted((ROOT / room).rglob("*.py")):
            source = path.read_text("utf-8")
            for node in ast.walk(ast.parse(source)) if "InputError(" in source else ():
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InputError":
                    parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else node.args[:1]
                    texts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts]
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(texts)


def test_every_message_is_one_sentence_without_a_full_stop() -> None:
    found = dict(messages())
    assert found
    assert [place for place, text in found.items() if re.search(r"\n|(?<!\.)\.( |$)", text)] == []


def test_handlers_of_a_librarys_errors_let_a_mistake_pass() -> None:
    assert not issubclass(InputError, (ValueError, TypeError, KeyError, OSError, RuntimeError))


def test_a_mistake_survives_the_way_from_a_loader_process() -> None:
    assert str(pickle.loads(pickle.dumps(InputError("a.npy: damaged")))) == "a.npy: damaged"


def test_a_mistyped_name_is_told_what_it_is_nearest_to() -> None:
    assert meant("serch", ["index", "search"]) == "; did you mean search?"
    assert meant("xyz", ["index", "search"]) == ""
