"""Small data sets that tests write and train on; no test needs files from outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
COLOURS = ("red", "green", "blue", "yellow", "black", "white")
THINGS = ("dog", "cat", "car", "boat", "house", "tree")
PLACES = ("park", "street", "river", "field", "beach", "garden")


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
def data_root(tmp_path: Path) -> Path:
    """A folder that holds the data set `small_precomp`."""
    write_data_set(tmp_path / "data" / "small_precomp")
    return tmp_path / "data"


Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a script of a network folder as a user would: `script("VSEpp_LSEH", "train.py", "--flag", ...)`.

    The working directory is a copy-free stand-in for the network folder, so that runs/ stay out of the checkout.
    """

    def start(folder: str, *arguments: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        working = tmp_path / "work" / folder
        if not working.exists():
            working.mkdir(parents=True)
            for path in (ROOT / folder).iterdir():
                if path.suffix == ".py" or path.is_dir():
                    (working / path.name).symlink_to(path)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=working,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return start
