"""The three kinds of description vectors, and files of one's own that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vse.descriptions import sentence
from vse.descriptions.kinds import prepare_descriptions, read_vectors
from vse.errors import InputError


def test_svd_is_what_lseh_trains_with(caption_file: Path) -> None:
    vectors = prepare_descriptions("svd", caption_file.parent, caption_file, 5)
    assert len(vectors) == 5
    np.testing.assert_array_equal(vectors, np.load(caption_file.with_name("train_svd.npy")))


def test_sentence_vectors_are_of_the_captions_and_encoder(caption_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def encode(captions: list[str], encoder: str | None, device: str) -> np.ndarray:
        asked.append((len(captions), captions[0], encoder, device))
        return np.ones((len(captions), 3), np.float32)

    monkeypatch.setattr(sentence, "encode", encode)
    folder = caption_file.parent
    vectors = prepare_descriptions("sentence", folder, caption_file, 5, str(folder), "cuda")
    assert asked == [(5, "A red dog sleeps.", str(folder), "cuda")]
    assert vectors.shape == (5, 3)
    with pytest.raises(InputError, match="5 captions, the data set has 4"):
        prepare_descriptions("sentence", folder, caption_file, 4, str(folder))


def test_a_file_of_vectors_is_read_as_float32(tmp_path: Path, caption_file: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float16)
    np.save(tmp_path / "v.npy", vectors)
    read = prepare_descriptions(str(tmp_path / "v.npy"), tmp_path, caption_file, 5)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, vectors.astype(np.float32))


def test_vectors_that_do_not_fit_are_refused(tmp_path: Path, caption_file: Path) -> None:
    path = tmp_path / "v.npy"
    for array, message in (
        (np.zeros((4, 3), np.float32), r"float32 \[4, 3\]; expected float vectors, one for each of the 5 captions"),
        (np.zeros((5, 3), np.int64), "int64"),
        (np.zeros(5, np.float32), r"\[5\]"),
        (np.array([[1.0], [np.nan], [0], [np.inf], [0]]), r"row 1 holds NaN or infinity \(2 of 5 rows do\)"),
        (np.zeros((5, 3), np.float32), "all rows are zero"),
    ):
        np.save(path, array)
        with pytest.raises(InputError, match=message):
            read_vectors(path, 5)
    with pytest.raises(InputError, match="no such file"):
        read_vectors(tmp_path / "none.npy", 5)
    with pytest.raises(InputError, match=r"expected svd, sentence or a .npy file"):
        read_vectors("bert", 5)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable"):
        read_vectors(path, 5)


def test_vectors_recorded_for_other_captions_are_refused(tmp_path: Path, caption_file: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((5, 3), np.float32))
    (tmp_path / "v.json").write_text(json.dumps({"captions_sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"v\.json names other captions"):
        read_vectors(tmp_path / "v.npy", 5, caption_file)
