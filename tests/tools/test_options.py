"""The options of every command: a class each, with the defaults of what they are passed to."""

from __future__ import annotations

import inspect

import pytest

from vse.search.find import find
from vse.tools.options import COMMANDS, SearchOptions


@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_the_name_of_their_command(command: str) -> None:
    assert COMMANDS[command].__name__ == f"{command.capitalize()}Options"


def test_search_scores_as_many_candidates_as_find() -> None:
    assert SearchOptions.candidates == inspect.signature(find).parameters["candidates"].default
