"""The record of a training run, and what it refuses to go on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vse.checkpoints import Checkpoint
from vse.data.datasets import open_split
from vse.data.noise import Noise
from vse.errors import InputError
from vse.text.vocabulary import SPECIAL_WORDS, Vocabulary
from vse.training.record import (
    RunRecord,
    check_resumable,
    describe_start,
    differences,
    make_record,
    read_record,
)


@dataclass
class Options:
    data_path: str = "data"
    logger_name: str = "runs/a"
    loss: str = "lseh"
    margin: float = 0.185
    num_epochs: int = 3
    workers: int = 0
    seed: int = 4
    resume: str | None = None


@pytest.fixture
def folder(tmp_path: Path, make_data_set: Callable[..., Path]) -> Path:
    return make_data_set(tmp_path / "small_precomp")


def record_of(folder: Path, words: tuple[str, ...] = ("dog",), options: Any = None, **more: Any) -> dict[str, Any]:
    return make_record(
        "VSEpp",
        options or Options(),
        open_split(folder, "train"),
        open_split(folder, "dev"),
        torch.device("cpu"),
        vocabulary=Vocabulary([*SPECIAL_WORDS, *words]).to_state(),
        **more,
    )


def test_a_record_says_what_a_stranger_asks(folder: Path) -> None:
    record = record_of(folder, selected_by="R@1+R@5")
    assert json.loads(json.dumps(record)) == record
    assert record["options"]["margin"] == 0.185
    assert Path(record["options"]["data_path"]).is_absolute()
    assert record["seed"] == 4
    assert record["vocabulary"] == {"words": 5, "sha256": Vocabulary([*SPECIAL_WORDS, "dog"]).digest}
    assert (record["selected_on"], record["selected_by"]) == ("dev", "R@1+R@5")
    assert {"train", "dev"} == set(record["data"])
    assert record["environment"]["commit"] is None or len(record["environment"]["commit"]) == 40


def test_nothing_differs_when_only_what_may_change_does(folder: Path) -> None:
    later = Options(num_epochs=9, workers=2, logger_name="runs/b", data_path="elsewhere", resume="auto")
    assert differences(record_of(folder), record_of(folder, options=later)) == []


def test_a_schedule_that_depends_on_epochs_keeps_their_number(folder: Path) -> None:
    earlier, record = record_of(folder), record_of(folder, options=Options(num_epochs=9))
    for made in (earlier, record):
        made["options"]["schedule"] = "cosine"
    assert [tuple(difference) for difference in differences(earlier, record)] == [("--num_epochs", 3, 9)]


def test_an_earlier_name_of_a_schedule_is_no_difference(folder: Path) -> None:
    earlier, record = record_of(folder), record_of(folder)
    earlier["options"]["schedule"], record["options"]["schedule"] = "milestones", "step"
    assert differences(earlier, record) == []


def test_every_difference_is_named_with_both_values(folder: Path) -> None:
    other = record_of(folder, options=Options(loss="hal", margin=0.2))
    with pytest.raises(InputError) as refused:
        check_resumable(folder / "checkpoint.pth.tar", record_of(folder), other)
    sentence = str(refused.value)
    assert "--loss lseh, now hal" in sentence
    assert "--margin 0.185, now 0.2" in sentence
    assert f"--init_model {folder / 'checkpoint.pth.tar'}" in sentence
    assert "\n" not in sentence


def test_reordered_features_are_another_data_set(folder: Path) -> None:
    before = record_of(folder)
    features = np.load(folder / "train_ims.npy")
    np.save(folder / "train_ims.npy", features[::-1].copy())
    assert [difference.name for difference in differences(before, record_of(folder))] == ["train features"]


def test_reordered_captions_are_another_data_set(folder: Path) -> None:
    before = record_of(folder)
    lines = (folder / "dev_caps.txt").read_text().splitlines(keepends=True)
    (folder / "dev_caps.txt").write_text("".join(reversed(lines)))
    assert [difference.name for difference in differences(before, record_of(folder))] == ["dev captions_sha256"]


def test_another_vocabulary_is_a_difference(folder: Path) -> None:
    (found,) = differences(record_of(folder), record_of(folder, words=("dog", "cat")))
    assert found.name == "vocabulary"
    assert str(found).startswith("vocabulary words 5 sha256 ")


def test_other_description_vectors_are_a_difference(folder: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    before = record_of(folder, descriptions=vectors)
    assert differences(before, record_of(folder, descriptions=vectors.copy())) == []
    assert [d.name for d in differences(before, record_of(folder, descriptions=vectors + 1))] == ["descriptions"]


def test_an_option_that_one_version_lacks_counts_unless_off(folder: Path) -> None:
    before, after = record_of(folder), record_of(folder)
    after["options"] |= {"warmup_epochs": 0.0, "schedule": "cosine"}
    (found,) = differences(before, after)
    assert str(found) == "--schedule not recorded, now cosine"


def test_times_add_up_over_interruptions(folder: Path) -> None:
    first = RunRecord(record_of(folder)).current()
    earlier = {**first, "wall_seconds": 100.0, "cpu_seconds": 50.0, "starts": 2, "best_score": 9.0, "started": "then"}
    resumed = RunRecord(record_of(folder), earlier)
    now = resumed.current()
    assert now["wall_seconds"] >= 100.0
    assert now["cpu_seconds"] >= 50.0
    assert (now["starts"], now["best_score"], now["started"], now["ended"]) == (3, 9.0, "then", None)


def test_the_saved_record_names_the_best_model_and_the_end(folder: Path, tmp_path: Path) -> None:
    record = RunRecord(record_of(folder))
    record.note_best(123.4, epoch=2, step=16)
    record.save(tmp_path, ended=True)
    saved = json.loads((tmp_path / "run.json").read_text())
    assert (saved["best_score"], saved["best_epoch"], saved["best_step"]) == (123.4, 2, 16)
    assert saved["ended"] >= saved["started"]


def test_what_a_run_starts_from_is_known_by_its_weights(folder: Path, tmp_path: Path) -> None:
    warm = Checkpoint("VSEpp", [{"a": torch.ones(2)}], {}, record={"seed": 4}, path=tmp_path / "warm.pth.tar")
    start = describe_start(warm)
    assert start["record"] == {"seed": 4}
    other = describe_start(replace(warm, parts=[{"a": torch.zeros(2)}]))
    assert start["weights_sha256"] != other["weights_sha256"]
    assert record_of(folder, started_from=start, options=replace(Options()))["started_from"] == start


def test_an_alias_of_an_objective_is_no_difference(folder: Path) -> None:
    earlier, record = (
        record_of(folder, options=Options(loss="lmh")),
        record_of(folder, options=Options(loss="max_hinge")),
    )
    assert differences(earlier, record) == []


def test_other_mismatched_pairs_are_a_difference(folder: Path) -> None:
    def noisy(*index: int) -> dict[str, Any]:
        return record_of(folder, noise=Noise(np.array(index), np.array(index) != [0, 1, 2], "captions", ""))

    assert differences(noisy(0, 2, 1), noisy(0, 2, 1)) == []
    assert [found.name for found in differences(noisy(0, 2, 1), noisy(2, 1, 0))] == ["noise"]
    assert [found.name for found in differences(record_of(folder), noisy(2, 1, 0))] == ["noise"]


def test_a_record_from_before_noise_has_none(folder: Path) -> None:
    before = record_of(folder)
    del before["noise"]
    assert differences(before, record_of(folder)) == []


@pytest.mark.parametrize(
    "damage",
    [
        {"environment": None},
        {"environment": {}},
        {"options": None},
        {"cpu_seconds": "1"},
        {"environment": {"command": [1], "commit": None, "dirty": None, "host": "here", "device_name": "cpu"}},
    ],
)
def test_a_damaged_record_is_refused(folder: Path, tmp_path: Path, damage: dict[str, Any]) -> None:
    record = RunRecord(record_of(folder))
    record.save(tmp_path)
    assert read_record(tmp_path / "run.json")["network"] == "VSEpp"
    (tmp_path / "run.json").write_text(json.dumps({**record.current(), **damage}))
    with pytest.raises(InputError, match=r"run\.json: not the record of a run, or damaged; move its folder away"):
        read_record(tmp_path / "run.json")
