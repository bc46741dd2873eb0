"""Pickles from strangers are read, or refused soon; nothing in them runs."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import time
from collections import OrderedDict
from typing import Any

import pytest

from vse.formats import pickles
from vse.formats.pickles import ORDERED, ForeignName, Refused, SafeUnpickler, StandIn

VALUES = {"list": [1, -7, 2.5, None, True, False], "nested": {"é": ("a", b"b", [])}, "large": 2**40}


def read(content: bytes, names: dict[tuple[str, str], Any] | None = None) -> Any:
    return SafeUnpickler(io.BytesIO(content), names or {}).load()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back_equal(protocol: int) -> None:
    values = {name: value for name, value in VALUES.items() if protocol > 2 or name != "nested"}  # bytes need a name
    assert read(pickle.dumps(values, protocol)) == values


def test_python_2_strings_are_read() -> None:
    assert read(b"\x80\x02U\x03caf" + b"q\x00.") == "caf"
    assert read(b"(dp0\nS'epoch'\np1\nI3\ns.") == {"epoch": 3}


class Dangerous:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made-by-the-pickle",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_name_that_is_not_offered_is_refused(protocol: int) -> None:
    with pytest.raises(ForeignName, match=r"posix\.mkdir|nt\.mkdir"):
        read(pickle.dumps(Dangerous(), protocol))


def test_an_ordered_dictionary_and_a_stand_in_keep_their_content() -> None:
    names = {**ORDERED, ("argparse", "Namespace"): StandIn}
    assert read(pickle.dumps(OrderedDict(a=1, b=2), 2), names) == {"a": 1, "b": 2}
    assert read(pickle.dumps(argparse.Namespace(a=1), 2), names).state == {"a": 1}


def test_a_pickle_cannot_change_the_class_of_a_stand_in() -> None:
    before = dict(vars(StandIn))
    content = b"\x80\x02cargparse\nNamespace\nN}X\x01\x00\x00\x00aK\x01s\x86b."
    with pytest.raises(Refused, match="did not make"):
        read(content, {("argparse", "Namespace"): StandIn})
    assert dict(vars(StandIn)) == before


BOMBS = {
    "string of four gigabytes": b"\x80\x02X\xff\xff\xff\xff.",
    "bytes of exabytes": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f.",
    "bytearray of gigabytes": b"\x80\x05\x96\x00\x00\x00\x00\x04\x00\x00\x00.",
    "too many lists": b"\x80\x02" + b"]" * 60_000 + b".",
    "too many marks": b"\x80\x02" + b"(" * 60_000 + b".",
    "number of a megabyte": b"\x80\x02\x8b" + (10**6).to_bytes(4, "little") + b"\x01" * 10**6 + b".",
    "frame of exabytes": b"\x80\x04\x95" + b"\xff" * 8,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPERATIONS", 50_000)
    started = time.process_time()
    with pytest.raises(Refused):
        read(BOMBS[name])
    assert time.process_time() - started < 1


def test_a_memo_of_two_billion_entries_takes_no_memory() -> None:
    assert read(b"\x80\x02]r\xff\xff\xff\x7f.") == []


def test_keys_that_may_collide_are_refused() -> None:
    colliding = {number * (2**61 - 1): None for number in range(1, 4)}
    for keys in (colliding, {(1, 2): None}, {1.5: None}, {2**40: None}):
        with pytest.raises(Refused, match="neither strings nor small numbers"):
            read(pickle.dumps(keys, 2))


def test_every_truncation_and_flip_is_read_or_refused() -> None:
    whole = pickle.dumps({"a": [1, 2.5, "text"], "b": OrderedDict(c=(None, True))}, 2)
    damaged = [whole[:length] for length in range(len(whole))]
    for place in range(len(whole)):
        damaged += [whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :] for bit in (1, 16, 255)]
    refused = 0
    for content in damaged:
        try:
            read(content, dict(ORDERED))
        except Refused:
            refused += 1
    assert refused > len(damaged) // 4
