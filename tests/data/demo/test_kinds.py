"""Kinds of objects have words, colours that exist, and a drawing."""

from __future__ import annotations

from vse.data.demo.kinds import COLOURS, KINDS, PERCHERS


def test_every_kind_has_words_colours_and_a_drawing() -> None:
    for name, kind in KINDS.items():
        assert kind.nouns, name
        assert kind.general, name
        assert set(kind.colours) <= set(COLOURS), name
        assert kind.drawing.strip(), name
    assert set(PERCHERS) <= set(KINDS)
