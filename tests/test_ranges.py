"""Every numeric option states its range once, and what lies outside is refused with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import tyro

from vse import ranges
from vse.errors import InputError
from vse.options import DataOptions


@dataclass
class Group:
    """The group."""

    epochs: ranges.AtLeast1 = 3
    """Epochs."""
    size: ranges.AtLeast1 | None = None
    """Size."""
    seed: ranges.AtLeast0 = 0
    """Seed."""
    rate: ranges.Positive = 1.0
    """Rate."""
    clip: ranges.NonNegative = 2
    """Clip."""
    weights: tuple[ranges.Finite, ranges.Finite] | None = None
    """Weights."""
    layers: tuple[ranges.AtLeast0, ...] = ()
    """Layers."""
    share: ranges.Share = 0.5
    """Share."""
    part: ranges.PositiveShare = 0.5
    """Part."""
    dropout: ranges.Probability = 0.1
    """Dropout."""
    threshold: ranges.Cosine = 0.1
    """Threshold."""
    kind: Literal["a", "b"] = "a"
    """Kind."""
    blocks: Literal["a", "b"] | ranges.AtLeast1 = "a"
    """Blocks."""
    name: str | None = None
    """Name."""
    switch: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Switch."""
    memory: ranges.Gibibytes = 1.0
    """Memory."""


@dataclass
class Options:
    group: Group = field(default_factory=Group)


def parse(line: str) -> Group:
    arguments = line.split()
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
    options = tyro.cli(Options, args=arguments, use_underscores=True, config=config)
    ranges.check(options)
    return options.group


def test_values_within_their_ranges_are_taken() -> None:
    line = "--epochs 1 --size 7 --rate 1e-9 --clip 0 --weights -1 2.5 --layers 0 3 --share 1 --part 1 --dropout 0"
    expected = Group(1, 7, 0, 1e-9, 0.0, (-1.0, 2.5), (0, 3), 1.0, 1.0, 0.0, -1.0, blocks=2)
    assert parse(f"{line} --threshold -1 --blocks 2") == expected
    assert parse("") == Group()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--epochs 0", "--epochs 0: expected a whole number, at least 1"),
        ("--epochs -1", "--epochs -1: expected a whole number, at least 1"),
        ("--epochs ten", "--epochs ten: expected a whole number, at least 1"),
        ("--epochs 1e30", "--epochs 1e30: expected a whole number, at least 1"),
        ("--epochs 99999999999", "--epochs 99999999999: expected a whole number, at least 1 and at most 2147483647"),
        ("--size 0", "--size 0: expected a whole number, at least 1"),
        ("--size None", "--size None: expected a whole number, at least 1"),
        ("--size x", "--size x: expected a whole number, at least 1"),
        ("--seed -1", "--seed -1: expected a whole number, at least 0"),
        ("--memory 1e308", "--memory 1e+308: expected a number above 0, at most 1000000"),
        ("--rate 0", "--rate 0.0: expected a number above 0"),
        ("--rate nan", "--rate nan: expected a number above 0"),
        ("--rate inf", "--rate inf: expected a number above 0"),
        ("--rate fast", "--rate fast: expected a number above 0"),
        ("--clip -1", "--clip -1.0: expected a number, at least 0"),
        ("--weights 1 nan", "--weights 1.0 nan: expected a finite number"),
        ("--layers 1 -1", "--layers 1 -1: expected a whole number, at least 0"),
        ("--share 1.5", "--share 1.5: expected a number from 0 to 1"),
        ("--part 0", "--part 0.0: expected a number above 0, at most 1"),
        ("--dropout 1", "--dropout 1.0: expected a number from 0 to below 1"),
        ("--threshold -1.1", "--threshold -1.1: expected a number from -1 to 1"),
        ("--blocks 0", "--blocks 0: expected one of a, b, or a whole number, at least 1"),
        ("--blocks c", "--blocks c: expected one of a, b, or a whole number, at least 1"),
    ],
)
def test_values_outside_their_ranges_are_refused(line: str, expected: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(line)
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"epochs": True}, "--epochs True: expected a whole number, at least 1"),
        ({"epochs": 2.5}, "--epochs 2.5: expected a whole number, at least 1"),
        ({"epochs": None}, "--epochs None: expected a whole number, at least 1"),
        ({"kind": "c"}, "--kind c: expected one of a, b"),
        ({"name": 3}, "--name 3: expected a value of type str"),
        ({"switch": "yes"}, "--switch yes: expected a value of type bool"),
        ({"weights": (1.0,)}, "--weights 1.0: expected 2 values"),
        ({"layers": 3}, "--layers 3: expected several values"),
    ],
)
def test_values_of_other_types_are_refused_with_their_source(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as refusal:
        ranges.check(Options(Group(**values)), "old.pth.tar")
    assert str(refusal.value) == f"old.pth.tar: {expected}"


def test_help_shows_the_ranges(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    for words in ("--epochs INT>=1", "--size INT>=1", "--clip FLOAT>=0", "--rate FLOAT>0", "--dropout 0<=FLOAT<1"):
        assert words in shown


@dataclass
class Words:
    name: str = "x"
    save: str = ""
    path: str | None = None


def test_an_empty_value_is_taken_for_an_unset_variable() -> None:
    ranges.check(Words())
    for flag in ("name", "path"):
        with pytest.raises(InputError, match=rf"--{flag} : expected a value; it is empty, perhaps a variable"):
            ranges.check(Words(**{flag: ""}))
    ranges.check(Words(path=""), "old.pth.tar")


def test_an_empty_value_among_several_is_refused_too() -> None:
    @dataclass
    class Files:
        files: tuple[str, ...] = ()

    with pytest.raises(InputError, match="--files a : expected a value; it is empty"):
        ranges.check(Files(("a", "")))


def test_workers_beyond_any_machine_are_refused() -> None:
    with pytest.raises(InputError, match="--workers 100000: expected a whole number, at least 0 and at most 1024"):
        ranges.check(DataOptions(workers=100_000))
