"""Command lines: defaults and demo values, refusals before anything else, and answers before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vse.cli import parse
from vse.errors import InputError
from vse.options import DataOptions, TrainingOptions

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("VSEpp_LSEH", "VSRN_LSEH", "VSEinfty_LSEH", "SGRAF_LSEH", "GSMN_LSEH", "HAL")


@dataclass
class Options:
    """What the script does."""

    data: DataOptions = field(default_factory=DataOptions)
    training: TrainingOptions = field(default_factory=lambda: TrainingOptions(num_epochs=7))


def test_flags_have_no_prefix_and_take_hyphens_too() -> None:
    options = parse(Options, arguments=["--batch_size", "3", "--learning-rate", "0.5", "--data_name", "x"])
    assert (options.data.batch_size, options.training.learning_rate, options.training.num_epochs) == (3, 0.5, 7)


def test_defaults_of_a_script_replace_those_of_its_options() -> None:
    options = parse(Options, defaults={"num_epochs": 2, "data_name": "iaprtc12"}, arguments=["--num_epochs", "5"])
    assert (options.training.num_epochs, options.data.data_name) == (5, "iaprtc12")


def test_the_demo_has_values_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    demo = {"batch_size": 16, "num_epochs": 1}
    assert parse(Options, demo, arguments=[]).data.batch_size == 16
    assert (
        "the built-in demo data set, sized for two CPU cores (batch_size 16, num_epochs 1)" in capsys.readouterr().out
    )
    assert parse(Options, demo, arguments=["--data_name", "x"]).data.batch_size == 128


def test_a_value_out_of_range_is_refused_wherever_it_comes_from() -> None:
    for flags, demo in ((["--batch_size", "0"], {}), ([], {"batch_size": 0})):
        with pytest.raises(InputError, match="--batch_size 0: expected a whole number, at least 1"):
            parse(Options, demo, arguments=flags)


def test_help_whose_reader_leaves_ends_without_a_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "vse", "search", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_describes_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(Options, arguments=["--help"], description="Bake a cake.")
    shown = capsys.readouterr().out
    assert "Bake a cake." in shown
    assert "--num_epochs INT>=1" in shown
    assert "(default: 7)" in shown
    assert "None" not in shown  # where None stands for another default, the text of the option says it
    assert "default: )" not in shown


@pytest.mark.parametrize("script", ["train.py", "evaluation.py"])
@pytest.mark.parametrize("network", NETWORKS)
def test_help_and_mistakes_come_before_torch(network: str, script: str) -> None:
    for flags, status in ((["--help"], 0), (["--no_such_flag"], 2), (["--batch_size", "-1"], 2)):
        command = [sys.executable, "-X", "importtime", script, *flags]
        done = subprocess.run(command, cwd=ROOT / network, capture_output=True, text=True)
        assert done.returncode == status
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
        assert "vse.cli" in imported
        assert not imported & {"torch", "numpy", "pandas", "scipy"}
