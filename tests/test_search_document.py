"""The Python of docs/search.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.trained import features, write_checkpoint

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "search.md"


def test_the_example_runs_and_finds_three_images_a_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path / "runs" / "x" / "model_best.pth.tar")
    (tmp_path / "data" / "x_precomp").mkdir(parents=True)
    np.save(tmp_path / "data" / "x_precomp" / "test_ims.npy", features(6))
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert [len(re.findall(r"\(\d+, ", line)) for line in lines] == [3, 3, 0]
    assert lines[2] == "['plays', 'xylophone']"
