"""Files of scores and embeddings: every form, names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vse.errors import InputError
from vse.evaluation.arrays import read_arrays, similarities

MATRIX = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def test_npy_npz_and_safetensors_hold_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MATRIX)
    np.savez(tmp_path / "a.npz", images=MATRIX, captions=MATRIX + 1)
    assert torch.equal(read_arrays(tmp_path / "a.npy")["a"], torch.from_numpy(MATRIX))
    assert read_arrays(tmp_path / "a.npz").keys() == {"images", "captions"}
    chosen = read_arrays(f"{tmp_path / 'a.npz'}:captions")
    assert chosen.keys() == {"captions"}
    assert torch.equal(chosen["captions"], torch.from_numpy(MATRIX + 1))
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file({"images": torch.from_numpy(MATRIX).bfloat16()}, tmp_path / "a.safetensors")
    read = read_arrays(tmp_path / "a.safetensors")["images"]
    assert torch.equal(read, torch.from_numpy(MATRIX).bfloat16().float())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_every_float_type_keeps_its_values(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", MATRIX.astype(dtype))
    assert np.array_equal(read_arrays(tmp_path / "a.npy")["a"].numpy(), MATRIX.astype(dtype))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4), np.int64), "int64"),
        (np.zeros((3, 4, 2), np.float32), r"\[3, 4, 2\]"),
        (np.zeros((0, 4), np.float32), r"\[0, 4\]"),
        (np.array([[1.0, np.nan], [0.0, 0.0], [np.nan, np.nan]]), "2 of 3 rows hold NaN, the first is row 0"),
        (np.array([{}]), "cannot be read .damaged, or Python objects"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_arrays(tmp_path / "a.npy")


def test_a_missing_file_name_or_form_is_one_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=MATRIX)
    (tmp_path / "b.npy").write_bytes(b"nonsense")
    (tmp_path / "c.csv").write_text("1,2")
    for source, message in (
        (tmp_path / "none.npy", "no such file"),
        (f"{tmp_path / 'a.npz'}:texts", "no array texts; it holds images"),
        (tmp_path / "b.npy", "cannot be read"),
        (tmp_path / "c.csv", "an unknown form"),
    ):
        with pytest.raises(InputError, match=message):
            read_arrays(source)


def test_ids_and_names_beside_the_matrices_are_passed_over(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=MATRIX, captions=MATRIX, ids=np.arange(3), names=np.array(["a", "b", "c"]))
    assert read_arrays(tmp_path / "a.npz").keys() == {"images", "captions"}
    with pytest.raises(InputError, match=r"int64 \[3\]; expected a floating point matrix"):
        read_arrays(f"{tmp_path / 'a.npz'}:ids")


def test_an_archive_of_nothing_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file({}, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz")
    for suffix in ("safetensors", "npz"):
        with pytest.raises(InputError, match="holds no matrix of numbers"):
            read_arrays(tmp_path / f"a.{suffix}")


def test_embeddings_are_compared_by_cosine_or_inner_product() -> None:
    images, captions = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert similarities(images, captions).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    assert similarities(images, captions, "dot").tolist() == [[3.0, 8.0]]


def test_embeddings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="in 4 dimensions, the captions in 5"):
        similarities(torch.ones(2, 4), torch.ones(3, 5))
    with pytest.raises(InputError, match="1 of 2 caption embeddings are all zero, first row 1"):
        similarities(torch.ones(2, 4), torch.tensor([[1.0] * 4, [0.0] * 4]))
    with pytest.raises(InputError, match="1 of 2 rows hold infinity, the first is row 1"):
        similarities(torch.tensor([[1.0], [torch.inf]]), torch.ones(1, 1))
