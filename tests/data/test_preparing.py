"""Preparing a data set: what is missing is made, what is out of date is made again, what was edited is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from vse.data import preparing
from vse.data.index import folder_pictures
from vse.data.preparing import index_raw_set, prepare_data_set
from vse.errors import InputError


def raw_set(folder: Path, word: str = "dog", splits: tuple[str, ...] = ("train", "train", "dev", "test")) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = "".join(f"p{k}.jpg,{word} {c} of {k},{split}\n" for k, split in enumerate(splits) for c in range(2))
    (folder / "captions.csv").write_text(f"image,caption,split\n{rows}")
    return folder


def test_a_raw_set_is_indexed_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw_set(tmp_path / "mine")
    assert prepare_data_set(tmp_path, "mine_precomp") == folder
    assert f"{folder}/train_caps.txt: 4 captions of 2 images" in capsys.readouterr().out
    train = folder_pictures(folder)["train"]
    assert train.paths == [folder / "images/p0.jpg", folder / "images/p1.jpg"]
    assert train.captions[2] == "dog 0 of 1"


def test_what_is_up_to_date_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw_set(tmp_path / "mine")
    prepare_data_set(folder, None)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    capsys.readouterr()
    prepare_data_set(folder, None)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert capsys.readouterr() == ("", "")


def test_an_outdated_index_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw_set(tmp_path / "mine")
    prepare_data_set(folder, None)
    raw_set(folder, "cat", ("train", "train", "train", "dev"))
    prepare_data_set(folder, None)
    assert "captions.csv has changed since its captions were read" in capsys.readouterr().out
    assert {name: len(split.names) for name, split in folder_pictures(folder).items()} == {"train": 3, "dev": 1}
    assert (folder / "train_caps.txt").read_text().startswith("cat 0 of 0\n")


def test_captions_edited_by_hand_are_not_overwritten(tmp_path: Path) -> None:
    folder = raw_set(tmp_path / "mine")
    prepare_data_set(folder, None)
    (folder / "train_caps.txt").write_text("by hand\n" * 4)
    assert prepare_data_set(folder, None) == folder
    raw_set(folder, "cat")
    with pytest.raises(InputError, match=r"train_caps\.txt: edited since it was made from captions\.csv"):
        prepare_data_set(folder, None)
    assert (folder / "train_caps.txt").read_text().startswith("by hand")


def test_a_mistake_in_the_source_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = raw_set(tmp_path / "mine")
    (folder / "captions.csv").write_text("image,caption,split\na.jpg,one,train\n../b.jpg,two,train\n")
    with pytest.raises(InputError, match=r"line 3: .* leads out"):
        prepare_data_set(folder, None)
    assert sorted(path.name for path in folder.iterdir()) == ["captions.csv", "images"]


def test_indexing_the_same_source_again_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = raw_set(tmp_path / "mine")
    index_raw_set(folder)
    first = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    index_raw_set(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == first


def test_only_the_demo_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(preparing, "make_demo", drawn.append)
    monkeypatch.setattr(preparing, "search_data_set", lambda *_: tmp_path)
    monkeypatch.setattr(preparing, "holds_splits", lambda _: True)
    monkeypatch.setattr(preparing, "require_current", lambda _: None)
    for data_path, data_name in ((tmp_path, "demo"), (tmp_path, None), (None, "f30k")):
        prepare_data_set(data_path, data_name)
    assert drawn == []
    prepare_data_set(None, "demo_precomp")
    prepare_data_set(None, None)
    assert [path.name for path in drawn] == ["demo_precomp", "demo_precomp"]
