"""`python -m vse prepare` makes what training would make first, says so, and then has nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.test_check import files_of, table
from vse.data.loading import Reader, open_training_data
from vse.errors import InputError
from vse.options import DataOptions
from vse.tools import prepare
from vse.tools.options import PrepareOptions


def test_training_finds_everything_prepared(
    tmp_path: Path, make_data_set: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x_precomp")
    prepare.main(PrepareOptions(str(tmp_path), "x"))
    written = capsys.readouterr().out.splitlines()[-1]
    assert "written: dev_caps_ids_" in written
    assert "train_svd.json, train_svd.npy, train_svd.txt, vocab.json" in written
    before = files_of(folder)
    open_training_data(DataOptions(str(tmp_path), "x", batch_size=1), Reader(), seed=0, needs_descriptions=True)
    assert files_of(folder) == before
    prepare.main(PrepareOptions(str(tmp_path), "x"))
    assert "nothing, all was there and up to date" in capsys.readouterr().out


def test_a_raw_data_set_gets_its_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = table(tmp_path / "mine", counts=(4, 5))
    prepare.main(PrepareOptions(str(folder), descriptions=False))
    printed = capsys.readouterr().out
    assert f"{folder}/train_caps.txt: 9 captions of 2 images" in printed
    assert "index.json" in printed.splitlines()[-1]
    assert not (folder / "train_svd.txt").exists()


def test_what_training_would_refuse_is_refused(tmp_path: Path, make_data_set: Callable[..., Path]) -> None:
    folder = make_data_set(tmp_path / "x")
    (folder / "dev_caps.txt").unlink()
    with pytest.raises(InputError, match=r"dev_caps\.txt: no such file"):
        prepare.main(PrepareOptions(str(folder)))
