"""The Python of docs/search.md and of the README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.trained import features, write_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the checkpoint and the features lie that the examples name."""
    write_checkpoint(tmp_path / "runs" / "x" / "model_best.pth.tar")
    (tmp_path / "data" / "x_precomp").mkdir(parents=True)
    np.save(tmp_path / "data" / "x_precomp" / "test_ims.npy", features(6))
    monkeypatch.chdir(tmp_path)


def run_example(document: str) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)
    exec(example, {})


@pytest.mark.usefixtures("place")
def test_the_example_of_the_readme_finds_three_images(capsys: pytest.CaptureFixture[str]) -> None:
    run_example("README.md")
    assert capsys.readouterr().out.count("Found(item=") == 3


@pytest.mark.usefixtures("place")
def test_the_example_runs_and_finds_three_images_a_caption(capsys: pytest.CaptureFixture[str]) -> None:
    run_example("docs/search.md")
    lines = capsys.readouterr().out.splitlines()
    assert [len(re.findall(r"\(\d+, ", line)) for line in lines] == [3, 3, 0]
    assert lines[2] == "['plays', 'xylophone']"
