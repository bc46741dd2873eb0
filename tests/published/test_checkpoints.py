"""Checkpoints of the original code are read as what they are, and nothing in them runs."""

from __future__ import annotations

import argparse
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vse import checkpoints
from vse.checkpoints import Checkpoint
from vse.errors import InputError
from vse.formats.tensor_files import DamagedError
from vse.published.checkpoints import load


def original(**changes: Any) -> dict[str, Any]:
    return {
        "epoch": 3,
        "model": [OrderedDict({"fc.weight": torch.ones(2, 2)}), OrderedDict({"embed.weight": torch.ones(3, 2)})],
        "best_rsum": np.float64(123.5),
        "opt": argparse.Namespace(embed_size=2, margin=0.2, resume="", vocab_size=np.int64(7)),
        "Eiters": 12,
        **changes,
    }


@pytest.mark.parametrize("archive", [True, False])
def test_an_original_checkpoint_is_recognised(tmp_path: Path, archive: bool) -> None:
    path = tmp_path / "model_best.pth.tar"
    torch.save(original(), path, _use_new_zipfile_serialization=archive)
    loaded = load(path, "VSEpp")
    assert loaded.published
    assert loaded.progress == {"epoch": 3, "best": 123.5}
    assert loaded.options == {"embed_size": 2, "margin": 0.2, "resume": "", "vocab_size": 7}
    assert torch.equal(loaded.parts[1]["embed.weight"], torch.ones(3, 2))
    assert loaded.run is None


def test_a_checkpoint_of_ours_is_read_as_such(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "a.pth.tar", Checkpoint("VSEpp", [{"weight": torch.ones(2)}], {"seed": 1}))
    loaded = load(tmp_path / "a.pth.tar", "VSEpp")
    assert not loaded.published
    assert loaded.options == {"seed": 1}
    with pytest.raises(InputError, match="expected one of SGRAF"):
        load(tmp_path / "a.pth.tar", "SGRAF")


class Python2Pickler(pickle._Pickler):
    """Writes strings, numbers of NumPy and instances as Python 2 wrote them."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_string(self, text: str) -> None:
        raw = text.encode("latin1")
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[str] = save_string

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, np.float64):
            raw = thing.tobytes().decode("latin1")
            return np.float64(0).__reduce__()[0], (np.dtype("float64"), raw)
        return NotImplemented


def test_a_checkpoint_that_python_2_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth.tar"
    weight = torch.arange(6.0).reshape(2, 3)
    content = original(model=[OrderedDict({"fc.weight": weight})], opt=argparse.Namespace(data_path="é" * 300, fold=1))
    modern = tmp_path / "modern"
    torch.save(content, modern, _use_new_zipfile_serialization=False, pickle_module=_module_of(Python2Pickler))
    path.write_bytes(modern.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"U\x09fc.weight" in path.read_bytes(), "not as Python 2 writes it"
    loaded = load(path)
    assert torch.equal(loaded.parts[0]["fc.weight"], weight)
    assert loaded.options == {"data_path": "é" * 300, "fold": 1}
    assert loaded.progress["best"] == 123.5


def _module_of(pickler: type[Any]) -> Any:
    def dump(thing: Any, file: Any, protocol: int) -> None:
        pickler(file, protocol).dump(thing)

    return argparse.Namespace(Pickler=pickler, dump=dump, __name__="pickle")


@pytest.mark.parametrize(
    "content",
    [
        original(model={"fc.weight": torch.ones(2)}),
        original(model=[{"fc.weight": 1}]),
        original(model=[{1: torch.ones(2)}]),
        original(opt={"embed_size": 2}),
        original(opt=None),
        original(epoch="three"),
        original(best_rsum=[1]),
        {"model": []},
        [1, 2],
        {"opt": argparse.Namespace()},
    ],
)
def test_content_of_another_kind_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth.tar")
    with pytest.raises(InputError, match=r"a\.pth\.tar: "):
        load(tmp_path / "a.pth.tar")


class Dangerous:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made-by-the-checkpoint",)


@pytest.mark.parametrize("payload", [{"model": Dangerous()}, Dangerous(), original(opt=Dangerous())])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, payload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(payload, tmp_path / "a.pth.tar")
    torch.save(payload, tmp_path / "b.pth.tar", _use_new_zipfile_serialization=False)
    if not isinstance(payload, dict) or len(payload) < 2:
        (tmp_path / "c.pth.tar").write_bytes(pickle.dumps(payload))
    for path in sorted(tmp_path.glob("*.pth.tar")):
        with pytest.raises(InputError, match=path.name):
            load(path)
    assert not (tmp_path / "made-by-the-checkpoint").exists()


def test_values_of_numpy_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    torch.save(original(best_rsum=np.str_("many")), tmp_path / "a.pth.tar")
    with pytest.raises(DamagedError, match="a NumPy value of type"):
        load(tmp_path / "a.pth.tar")
