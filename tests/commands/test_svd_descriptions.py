"""The command line of SVDdescriptions.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import SVDdescriptions
from tests.conftest import ROOT, write_data_set
from vse.descriptions.store import ARRAY, RECORD, TEXT, load
from vse.errors import InputError

ROWS = 24 * 5


def test_the_published_command_line_writes_the_output_folder(data_root: Path, tmp_path: Path) -> None:
    """Run in a copy of the repository, so that the user's own output/ stays as it is."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "vse", repository / "vse", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "SVDdescriptions.py", repository)
    done = subprocess.run(
        [sys.executable, "SVDdescriptions.py", "--data_path", str(data_root / "small_precomp")],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: ")
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in (repository / "output").iterdir()} == {TEXT, ARRAY, RECORD}
    vectors = np.loadtxt(repository / "output" / TEXT, delimiter=",", dtype=float)
    assert len(vectors) == ROWS
    np.testing.assert_array_equal(
        load(repository / "output", data_root / "small_precomp" / "train_caps.txt", ROWS), vectors.astype(np.float32)
    )


def test_a_mistake_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "SVDdescriptions.py"), "--data-path", str(tmp_path / "absent")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def run(output: Path, **options: object) -> np.ndarray:
    SVDdescriptions.main(SVDdescriptions.Options(output=str(output), **options))  # type: ignore[arg-type]
    return np.load(output / ARRAY)


def test_a_file_a_folder_and_a_named_data_set_are_the_same(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "small_precomp"
    of_file = run(tmp_path / "a", data_path=str(folder / "train_caps.txt"))
    of_folder = run(tmp_path / "b", data_path=str(folder))
    of_name = run(tmp_path / "c", data_path=str(data_root), data_name="small")
    np.testing.assert_array_equal(of_file, of_folder)
    np.testing.assert_array_equal(of_file, of_name)


def test_components_and_solver_are_chosen(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(data_root / "small_precomp")
    exact = run(tmp_path, data_path=path, components=3)
    randomized = run(tmp_path, data_path=path, components=3, solver="randomized")
    assert exact.shape == (ROWS, 3)
    np.testing.assert_allclose(exact, randomized, atol=1e-5)
    assert capsys.readouterr().err == ""


def test_fewer_components_than_asked_for_is_a_warning(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = run(tmp_path, data_path=str(data_root / "small_precomp"))
    assert vectors.shape[1] < 400
    assert capsys.readouterr().err.startswith("warning: ")


def test_default_output_is_the_repositorys_folder() -> None:
    assert Path(SVDdescriptions.Options().output) == ROOT / "output"


def test_what_cannot_be_made_is_refused_and_nothing_written(tmp_path: Path) -> None:
    folder = write_data_set(tmp_path / "set")
    captions = folder / "train_caps.txt"
    output = tmp_path / "output"
    with pytest.raises(InputError, match="--output"):
        run(captions / "under-a-file", data_path=str(folder))
    captions.write_bytes(b"a dog\n\xff\n")
    with pytest.raises(InputError, match="line 2"):
        run(output, data_path=str(folder))
    captions.write_text("this is\nit was\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"train_caps\.txt.*stop words"):
        run(output, data_path=str(folder))
    assert not list(output.glob("*"))
