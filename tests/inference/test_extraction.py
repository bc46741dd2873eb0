"""The record of an extraction, found again and carried out on other pictures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from vse.errors import InputError
from vse.inference import extraction
from vse.inference.extraction import RECORD, extract, find_extraction, read_extraction
from vse.networks import Trained
from vse.nn.extractors import BoxedFeatures
from vse.tools import features

CPU = torch.device("cpu")
ASKED = {"regions": 36, "grid": None, "image_size": None, "dtype": "float16", "batch_size": 2}


def write_record(folder: Path, **changes: Any) -> dict[str, Any]:
    record = {"model": "resnet18", "weights": "by name", "asked": ASKED, "splits": {"train": 9}, **changes}
    folder.mkdir(exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record))
    return record


def trained(record: Any) -> Trained:
    return cast(Trained, SimpleNamespace(record=record, path="model.pth.tar"))


class Means:
    """Gives the number of the picture as its features, and remembers how many came at a time."""

    shape = (1, 1)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def read(self, path: Path) -> tuple[torch.Tensor, tuple[int, int]]:
        return torch.tensor([[float(path.name)]]), (1, 1)

    def __call__(self, inputs: list[torch.Tensor], sizes: list[tuple[int, int]]) -> BoxedFeatures:
        self.sizes.append(len(inputs))
        return BoxedFeatures(torch.stack(inputs).numpy(), np.zeros((len(inputs), 1, 4), np.float32))


def test_the_name_of_the_record_is_that_which_features_writes() -> None:
    assert features.RECORD == RECORD


def test_a_record_that_is_given_wins_over_that_of_the_training(tmp_path: Path) -> None:
    for name in ("given", "data"):
        write_record(tmp_path / name, model=name)
    of_data = {"data": {"train": {"folder": str(tmp_path / "data")}}}
    exported = {**of_data, "extraction": {"model": "exported", "asked": ASKED}}
    cases = [(exported, tmp_path / "given", "given"), (exported, None, "exported"), (of_data, None, "data")]
    for record, given, expected in cases:
        found = find_extraction(trained(record), given)
        assert found is not None
        assert found["model"] == expected
    assert find_extraction(trained(None), None) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "not the record of an extraction; expected"),
        ('{"model": 3}', "lacks 'asked'; expected"),
        ('{"model": "resnet18", "asked": {"dtype": "float16", "regions": 36}}', "lacks 'grid'; expected"),
        (json.dumps({"model": 3, "asked": ASKED}), "not the record of an extraction; expected"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(InputError, match=rf"features\.json.*{words}"):
        read_extraction(tmp_path / RECORD)


@pytest.mark.parametrize("value", [0, -1, "many", None, 1.5, True])
def test_a_setting_out_of_range_is_named(tmp_path: Path, value: Any) -> None:
    write_record(tmp_path, asked={**ASKED, "batch_size": value})
    with pytest.raises(InputError, match=r"features\.json: --batch_size .*: expected a whole number, at least 1"):
        read_extraction(tmp_path / RECORD)
    with pytest.raises(InputError, match=r"model\.pth\.tar: .*: --batch_size"):
        find_extraction(trained({"extraction": {"model": "resnet18", "asked": {**ASKED, "batch_size": value}}}), None)


@pytest.mark.parametrize("record", [{"data": []}, {"data": {"train": 3}}, {"data": {"train": {"folder": 3}}}])
def test_a_record_of_another_form_names_no_extraction(record: Any) -> None:
    assert find_extraction(trained(record), None) is None


def test_pictures_become_features_in_batches_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    means = Means()
    monkeypatch.setattr(extraction, "build_extractor", lambda *_: means)
    paths = [Path(number) for number in ("1", "2", "0.1")]
    record = {"model": "resnet18", "weights": "by name", "asked": ASKED}
    made = extract(paths, record, (1, 1), CPU)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made.ravel(), np.array([1, 2, 0.1], np.float16).astype(np.float32))
    assert means.sizes == [2, 1]
    with pytest.raises(InputError, match=r"resnet18: gives features \[1, 1\], but the network reads \[4, 6\]"):
        extract(paths, record, (4, 6), CPU)


def test_pictures_become_one_vector_where_the_features_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(extraction, "build_extractor", lambda *settings: asked.append(settings[-1]) or Means())
    for settings in (ASKED, {**ASKED, "pooled": True}):
        extract([Path("1")], {"model": "resnet18", "weights": "by name", "asked": settings}, (1, 1), CPU)
    assert asked == [False, True]
