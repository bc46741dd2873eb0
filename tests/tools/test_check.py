"""`python -m vse check`: a table that tells what is there, and a sentence for each thing that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vse.data.preparing import prepare_data_set
from vse.tools import check
from vse.tools.options import CheckOptions

MakeDataSet = Callable[..., Path]


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def report(folder: Path, capsys: pytest.CaptureFixture[str], problems: bool = False) -> dict[str, Any]:
    capsys.readouterr()
    before = files_of(folder)
    if problems:
        with pytest.raises(SystemExit, match="2"):
            check.main(CheckOptions(str(folder), json=True))
    else:
        check.main(CheckOptions(str(folder), json=True))
    assert files_of(folder) == before, "looking writes nothing"
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def table(folder: Path, counts: tuple[int, ...] = (3, 1, 2), word: str = "dog") -> Path:
    """A raw data set with the given numbers of captions, an image of each in every split."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, split in enumerate(("train", "dev", "test")):
        for image, count in enumerate(counts):
            name = f"{split}{image}.png"
            Image.new("RGB", (8, 8), (number * 60, image * 60, 0)).save(folder / "images" / name)
            rows += [f"{name},{word} {split} {image} {k},{split}" for k in range(count)]
    (folder / "captions.csv").write_text("image,caption,split\n" + "".join(f"{row}\n" for row in rows))
    return folder


def test_the_table_tells_counts_and_their_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepare_data_set(table(tmp_path / "mine"), None)
    train = report(folder, capsys)["splits"][0]
    assert (train["split"], train["images"], train["captions"]) == ("train", 3, 6)
    assert train["captions_per_image"] == {"min": 1, "median": 2.0, "max": 3}
    assert train["pictures"] == {"folder": str(folder / "images"), "missing": 0}
    assert train["ids"] == "images, names"
    check.main(CheckOptions(str(folder)))
    printed = capsys.readouterr().out
    assert "1 / 2 / 3" in printed
    assert "no problems found" in printed


def test_a_raw_data_set_is_shown_without_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(table(tmp_path / "mine"), capsys)
    assert [(row["split"], row["captions"]) for row in found["splits"]] == [("train", 6), ("dev", 6), ("test", 6)]
    assert any("python -m vse prepare" in note for note in found["notes"])


def test_pictures_that_are_missing_are_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepare_data_set(table(tmp_path / "mine"), None)
    (folder / "images/dev1.png").unlink()
    found = report(folder, capsys, problems=True)
    assert [sentence for sentence in found["problems"] if "dev1.png: no such picture" in sentence]


def test_images_in_two_splits_are_found_by_name_and_by_features(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x")
    train, dev = np.load(folder / "train_ims.npy"), np.load(folder / "dev_ims.npy")
    dev[3], dev[5] = train[20], 0
    train[1] = 0  # rows of zeros are no pictures
    np.save(folder / "train_ims.npy", train)
    np.save(folder / "dev_ims.npy", dev)
    found = report(folder, capsys, problems=True)
    assert any("1 feature rows of train are in dev as well: 20;" in problem for problem in found["problems"])
    assert {row["split"]: row["shared_images"] for row in found["splits"]} == {
        "train": {"dev": 1},
        "dev": {"train": 1},
        "test": {},
    }
    for split, first, count in (("train", 100, 24), ("dev", 120, 8), ("test", 300, 8)):
        (folder / f"{split}_ids.txt").write_text("".join(f"{first + k}\n" for k in range(count)))
    found = report(folder, capsys, problems=True)
    assert any("4 images of train are in dev as well: 120, 121" in problem for problem in found["problems"])


def test_captions_of_train_in_another_split_are_counted(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x")
    captions = {split: (folder / f"{split}_caps.txt").read_text().splitlines() for split in ("train", "dev")}
    shared = sum(caption in set(captions["train"]) for caption in captions["dev"])
    assert report(folder, capsys)["splits"][1]["captions_in_train"] == shared < 20
    (folder / "dev_caps.txt").write_text("\n".join(captions["train"][:40]) + "\n")
    found = report(folder, capsys, problems=True)
    assert any("40 of 40 captions are in train" in problem for problem in found["problems"])


@pytest.mark.parametrize("shape", [(8, 4, 5), (8, 3, 6), (8, 6)])
def test_splits_of_different_shapes_are_a_problem(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str], shape: tuple[int, ...]
) -> None:
    folder = make_data_set(tmp_path / "x")
    np.save(folder / "dev_ims.npy", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    found = report(folder, capsys, problems=True)
    assert any(f"an image of dev has shape {list(shape[1:])}" in problem for problem in found["problems"])


def test_words_that_nothing_knows_are_a_problem(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x")
    assert report(folder, capsys)["splits"][2]["unknown_words"] < 0.05
    (folder / "test_caps.txt").write_text("ein Schiff fährt nach Norden\n" * 40)
    found = report(folder, capsys, problems=True)
    assert any("test_caps.txt: 100% of the words are unknown" in problem for problem in found["problems"])


def test_features_without_captions_are_a_problem(
    tmp_path: Path, make_data_set: MakeDataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "x")
    (folder / "dev_caps.txt").unlink()
    found = report(folder, capsys, problems=True)
    assert any("dev_ims.npy: no captions beside it" in problem for problem in found["problems"])


def test_counts_of_published_sets_are_recognised() -> None:
    whole = {"train": (29_000, 145_000), "dev": (1_014, 5_070), "test": (1_000, 5_000)}
    assert check.recognised(whole) == "f30k, complete"
    assert check.recognised({**whole, "dev": (1, 5)}) == "f30k, without a whole dev"
    assert check.recognised({"train": (1, 5)}) is None


def test_rows_that_say_nothing_are_left_out_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check.main(CheckOptions(str(table(tmp_path / "mine"))))
    shown = capsys.readouterr().out
    assert "missing pictures" in shown
    assert "NaN rows" not in shown
    assert "no derived file records its source" in shown
