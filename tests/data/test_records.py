"""Records of what a file was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from vse.data.records import changed_since, write_made_from
from vse.errors import InputError


def test_a_record_tells_which_sources_have_changed(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("a.txt", "b.txt")]
    for source in sources:
        source.write_text("as it was")
    write_made_from(tmp_path / "record.json", sources, {"model": "small"})
    assert changed_since(tmp_path / "record.json") == []
    sources[1].write_text("changed")
    assert changed_since(tmp_path / "record.json") == ["b.txt"]
    sources[1].unlink()
    assert changed_since(tmp_path / "record.json") == []


def test_without_a_record_nothing_is_known_to_have_changed(tmp_path: Path) -> None:
    assert changed_since(tmp_path / "record.json") == []


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"made_from": 7}')
    with pytest.raises(InputError, match="no record of what a file was made from"):
        changed_since(tmp_path / "record.json")
