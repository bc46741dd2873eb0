"""Small data sets that tests write and train on; no test needs files from outside the repository."""

from __future__ import annotations

import importlib
import os
import runpy
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# Tests fork processes that compute: a pool of threads would not survive that. It also keeps small tests fast.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from vse.exits import SIGNALS

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent
COLOURS = ("red", "green", "blue", "yellow", "black", "white")
THINGS = ("dog", "cat", "car", "boat", "house", "tree")
CAPTIONS = ("A red dog sleeps.", "A red cat sleeps on the red sofa.", "", "qwertz uiop", "The dog isn't red.")
PLACES = ("park", "street", "river", "field", "beach", "garden")


@pytest.fixture(autouse=True)
def _signals_have_their_handlers_again() -> Iterator[None]:
    """A run that was interrupted ignores signals from then on, as would every process that a later test starts."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def write_data_set(
    folder: Path,
    images: tuple[int, int, int] = (24, 8, 8),
    regions: int = 4,
    size: int = 6,
    captions: int = 5,
    dtype: type = np.float32,
    seed: int = 0,
) -> Path:
    """A data set folder in the field's form: features say which colour, thing and place the captions name.

    Args:
        images: of train, dev and test.
        regions: 0 for global features [images, size].
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    meaning = generator.normal(size=(18, size))
    for split, count in zip(("train", "dev", "test"), images, strict=True):
        words = generator.integers(0, 6, size=(count, 3)) + np.array([0, 6, 12])
        features = meaning[words].mean(axis=1)[:, None].repeat(max(regions, 1), axis=1)
        features = features + 0.1 * generator.normal(size=features.shape)
        np.save(folder / f"{split}_ims.npy", (features if regions else features[:, 0]).astype(dtype))
        lines = []
        for colour, thing, place in words - np.array([0, 6, 12]):
            forms = (
                f"A {COLOURS[colour]} {THINGS[thing]} in the {PLACES[place]}.",
                f"There is a {THINGS[thing]} near the {PLACES[place]}, and it is {COLOURS[colour]}.",
                f"The {PLACES[place]} with one {COLOURS[colour]} {THINGS[thing]}",
                f"{THINGS[thing]}s are {COLOURS[colour]}. This one is in a {PLACES[place]}.",
                f"a {THINGS[thing]}",
            )
            lines += forms[:captions]
        (folder / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def make_data_set() -> Callable[..., Path]:
    """`write_data_set`, for tests that choose sizes."""
    return write_data_set


@pytest.fixture
def caption_file(tmp_path: Path) -> Path:
    """`train_caps.txt` with CAPTIONS."""
    path = tmp_path / "train_caps.txt"
    path.write_text("\n".join(CAPTIONS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A folder that holds the data set `small_precomp`."""
    write_data_set(tmp_path / "data" / "small_precomp")
    return tmp_path / "data"


@dataclass
class Finished:
    """What a script left behind."""

    status: int
    output: str
    errors: str
    folder: Path  # the working directory, a stand-in for the network's folder


Script = Callable[..., Finished]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a command line as a user would: `script("VSEpp_LSEH", "python train.py --max_violation", DATA_PATH=...)`.

    `$NAME` and `"$NAME"` stand for the keyword arguments. The working directory is a stand-in for the network's folder,
    so that runs/ stay out of the checkout. The script gets a process of its own, forked from this one, which has the
    libraries imported already.
    """

    for slow in ("torch._dynamo", "torch.utils.tensorboard", "vse.descriptions.svd"):  # once here, not in every script
        importlib.import_module(slow)

    def run_script(folder: str, command: str, status: int = 0, **variables: object) -> Finished:
        working = tmp_path / "work" / folder
        if not working.exists():
            working.mkdir(parents=True)
            for path in (ROOT / folder).iterdir():
                if path.suffix == ".py" or (path.is_dir() and path.name not in ("runs", "__pycache__")):
                    (working / path.name).symlink_to(path)
        for name, value in variables.items():
            command = command.replace(f"${name}", str(value))
        program, *arguments = shlex.split(command)
        assert program in ("python", "python3")
        output, errors = tmp_path / "stdout", tmp_path / "stderr"
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _become_script(working, arguments, output, errors)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        done = Finished(code, output.read_text(), errors.read_text(), working)
        assert code == status, f"exit {code}\n{done.output}\n{done.errors}"
        assert "Traceback" not in done.errors
        return done

    return run_script


def _become_script(working: Path, arguments: list[str], output: Path, errors: Path) -> NoReturn:
    code = 1
    try:
        for path, stream in ((output, 1), (errors, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.stdin, sys.stdout, sys.stderr = open(os.devnull), open(1, "w"), open(2, "w")  # noqa: PTH123, SIM115
        os.chdir(working)
        sys.argv = arguments
        sys.path[0] = str((working / arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT with the words of a few captions."""
    from VSEinfty_LSEH import small_bert

    folder = tmp_path_factory.mktemp("small_bert")
    captions = ["A dog is playing in the park.", "two dogs play", "a café near the river", "parking"] * 5
    (folder / "train_caps.txt").write_text("\n".join(captions))
    options = small_bert.Options(
        data_path=str(folder), output=str(folder / "bert"), pieces=60, hidden_size=8, layers=1, heads=2
    )
    small_bert.main(options)
    return folder / "bert"
