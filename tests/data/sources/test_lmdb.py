"""LMDB: arrays or bare numbers under the id of an image; nothing is unpickled, and no cut file is mapped."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.sources.examples import IDS, boxes, check, collected, features
from vse.data.sources.lmdb import LmdbSource
from vse.errors import InputError

lmdb = pytest.importorskip("lmdb")


def write(folder: Path, entries: dict[str, bytes]) -> Path:
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    return folder


def as_file(save: Any, *arguments: Any, **arrays: Any) -> bytes:
    buffer = BytesIO()
    save(buffer, *arguments, **arrays)
    return buffer.getvalue()


def values(form: str) -> dict[str, bytes]:
    sizes = {"image_w": 640, "image_h": 480}
    return {
        str(image): {
            "npy": as_file(np.save, features(image)),
            "npz": as_file(np.savez_compressed, features=features(image), boxes=boxes(image), **sizes),
            "bare": features(image).tobytes(),
        }[form]
        for image in IDS
    }


@pytest.mark.parametrize("form", ["npy", "npz", "bare"])
def test_values_of_every_form_are_read(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "a.lmdb", {"__len__": b"5", **values(form)})
    check(
        collected(LmdbSource(path, dim=4 if form == "bare" else None), axes="rd"), sorted(IDS), with_boxes=form == "npz"
    )
    source = LmdbSource(path / "data.mdb", dim=4 if form == "bare" else None)
    check(collected(source, axes="rd"), sorted(IDS), form == "npz")


def test_bare_numbers_of_other_precision_are_found_out(tmp_path: Path) -> None:
    half = {str(image): features(image, 8, 16, "float16").tobytes() for image in IDS}
    images = collected(LmdbSource(write(tmp_path / "a.lmdb", half), dim=16))
    np.testing.assert_array_equal(images.read(0), features(min(IDS), 8, 16, "float16"))


class Explosive:
    """Pickled, it creates a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


def test_pickled_values_are_refused_and_never_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    objects = np.array([Explosive(target)], dtype=object)
    pickled = {
        "pickle": pickle.dumps(Explosive(target)),
        "npy": as_file(np.save, objects, allow_pickle=True),
        "npz": as_file(np.savez, features=objects, allow_pickle=True),
    }
    for name, value in pickled.items():
        with pytest.raises(InputError, match=r"neither \.npy nor|Python objects"):
            collected(LmdbSource(write(tmp_path / f"{name}.lmdb", {"1": value})))
    assert not target.exists()


@pytest.mark.parametrize("pages", [1, 2, 3, 10])
def test_files_that_were_cut_are_refused_before_they_are_read(tmp_path: Path, pages: int) -> None:
    path = write(tmp_path / "a.lmdb", {str(k): features(k, 36, 64).tobytes() for k in range(20)})
    whole = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(whole[: pages * 4096])
    with pytest.raises(InputError, match=r"the file was cut off|damaged or not LMDB"):
        LmdbSource(path)


def test_values_of_another_length_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.lmdb", {"4": features(4).tobytes(), "5": features(5).tobytes()[:-4]})
    with pytest.raises(InputError, match="entry '5': 44 bytes; expected float32 numbers, 4 for each region"):
        collected(LmdbSource(path, dim=4, dtype="float32"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.lmdb").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(InputError, match=r"a\.lmdb: damaged or not LMDB"):
        LmdbSource(tmp_path / "a.lmdb")
