"""Sizes of images, in our files and in those of the original code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from vse.errors import InputError
from vse.published.sizes import load_array, read_sizes


def published_sizes(path: Path, entries: list[dict], protocol: int) -> None:
    """A file as numpy.save wrote it, by any pickle protocol."""
    content = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (len(entries),)}
    np.lib.format.write_array_header_1_0(content, header)
    pickle.dump(np.array(entries, dtype=object), content, protocol=protocol)
    path.write_bytes(content.getvalue())


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", [int, float, np.int64, np.float32])
def test_published_sizes_are_read(tmp_path: Path, protocol: int, kind: type) -> None:
    entries = [{"image_w": kind(300 + k), "image_h": kind(200)} for k in range(3)]
    published_sizes(tmp_path / "sizes.npy", entries, protocol)
    np.testing.assert_array_equal(read_sizes(tmp_path / "sizes.npy"), [[300, 200], [301, 200], [302, 200]])


def test_sizes_of_our_files_are_read_and_others_refused(tmp_path: Path) -> None:
    fields = np.array([(3, 2), (5, 4)], dtype=[("image_w", "<f4"), ("image_h", "<f4")])
    np.save(tmp_path / "fields.npy", fields)
    np.testing.assert_array_equal(read_sizes(tmp_path / "fields.npy"), [[3, 2], [5, 4]])
    np.save(tmp_path / "zero.npy", np.zeros((2, 2)))
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "endless.npy", np.full((2, 2), np.inf))
    np.savez(tmp_path / "archive.npz", np.ones((2, 2)))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    for name, sentence in (
        ("zero", "not all positive"),
        ("endless", "not all positive"),
        ("text", "cannot be read"),
        ("archive", "cannot be read"),
        ("missing", "no such file"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_sizes(tmp_path / f"{name}.npy")


def test_arrays_of_another_form_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.ones(3))
    np.save(tmp_path / "b.npy", np.array([None]), allow_pickle=True)
    for name, sentence in (("a.npz", "a .npz archive"), ("b.npy", "it holds Python objects")):
        with pytest.raises(InputError, match=sentence):
            load_array(tmp_path / name)
