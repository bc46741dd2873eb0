"""Description vectors are found where they belong, and made where they are missing or outdated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.descriptions import store as descriptions
from vse.descriptions import svd
from vse.descriptions.prepare import prepare_svd
from vse.descriptions.store import ARRAY, RECORD, TEXT, save
from vse.errors import InputError

ROWS = 12
WORDS = ["dog", "cat", "boat", "house", "tree", "river", "field", "beach", "running", "jumped", "swimming", "holding"]


def write_captions(folder: Path, seed: int = 0, rows: int = ROWS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    words = np.random.default_rng(seed).choice(WORDS, size=(rows, 6))
    path = folder / "train_caps.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in words), encoding="utf-8")
    return path


@pytest.fixture
def captions_file(tmp_path: Path) -> Path:
    return write_captions(tmp_path / "set")


def edit(path: Path, line: int, text: str | None) -> None:
    """Replace a line (from 1), or drop it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def is_mapped(array: np.ndarray) -> bool:
    base: object = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def refuse_to_write(path: Path, write: object) -> None:
    raise InputError(f"{path}: cannot be written")


def test_missing_vectors_are_made_beside_the_captions(
    captions_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = captions_file.parent
    vectors = prepare_svd(captions_file, tmp_path / "output")
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 1
    assert "train_svd.txt" in printed
    assert is_mapped(vectors)
    assert {path.name for path in folder.iterdir()} == {"train_caps.txt", TEXT, ARRAY, RECORD}
    assert not (tmp_path / "output").exists()
    np.testing.assert_array_equal(prepare_svd(captions_file), vectors)
    assert capsys.readouterr().out == ""


def test_vectors_of_these_captions_are_found_in_output(
    captions_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    made = svd.fit(captions_file.read_text(encoding="utf-8").splitlines())
    save(made, output, captions_file)
    monkeypatch.setattr(svd, "fit", None)
    np.testing.assert_array_equal(prepare_svd(captions_file, output), made.vectors)
    assert not (captions_file.parent / TEXT).exists()


def test_a_read_only_data_set_gets_its_vectors_in_output(
    captions_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors of other captions in `output` stay: those of this set go into a folder of its name."""
    folder, output = captions_file.parent, tmp_path / "output"
    write = descriptions.write_atomically
    monkeypatch.setattr(
        descriptions,
        "write_atomically",
        lambda path, *of: (refuse_to_write if path.parent == folder else write)(path, *of),
    )
    vectors = prepare_svd(captions_file, output)
    assert is_mapped(vectors)
    assert (output / TEXT).exists()
    other = write_captions(tmp_path / "other", seed=3)
    monkeypatch.setattr(
        descriptions,
        "write_atomically",
        lambda path, *of: (refuse_to_write if path.parent in (folder, other.parent) else write)(path, *of),
    )
    prepare_svd(other, output)
    assert (output / "other" / TEXT).exists()
    monkeypatch.setattr(svd, "fit", None)
    np.testing.assert_array_equal(prepare_svd(captions_file, output), vectors)
    prepare_svd(other, output)


def test_without_any_writable_folder_training_still_gets_vectors(
    captions_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(descriptions, "write_atomically", refuse_to_write)
    vectors = prepare_svd(captions_file, tmp_path / "output")
    assert len(vectors) == ROWS
    assert "not kept" in capsys.readouterr().out


def test_vectors_of_captions_that_have_changed_are_made_again(
    captions_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_svd(captions_file)
    edit(captions_file, 5, "a dog")
    vectors = prepare_svd(captions_file)
    assert "made from other captions than train_caps.txt holds now" in capsys.readouterr().out
    np.testing.assert_array_equal(vectors, svd.fit(captions_file.read_text(encoding="utf-8").splitlines()).vectors)


def test_vectors_that_were_put_there_are_not_replaced(captions_file: Path) -> None:
    prepare_svd(captions_file)
    edit(captions_file, 5, "a dog")
    text = captions_file.with_name(TEXT)
    text.write_text("0.5,0.25\n" * ROWS)
    assert prepare_svd(captions_file).shape == (ROWS, 2)
    captions_file.write_text("a dog\n" * ROWS)
    with pytest.raises(InputError, match="other captions"):
        prepare_svd(captions_file)
