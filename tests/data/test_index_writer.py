"""Writing an index: it reads back as it was, and its record tells what it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vse.data.index import folder_pictures, read_record, splits_of
from vse.data.index_writer import changed_sources, edited_captions, require_no_other_features, write_index
from vse.data.listings import read_pictures
from vse.data.pictures import Pictures
from vse.errors import InputError
from vse.files import sha256


def pictures(source: Path, *names: str, first: int = 0, captions: int = 2) -> Pictures:
    texts = [f"caption {k} of {name}" for name in names for k in range(captions)]
    ids = np.arange(first, first + len(names))
    return Pictures(
        source.parent / "images", list(names), ids, texts, np.repeat(np.arange(len(names)), captions), None, (source,)
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "captions.csv"
    path.write_text("as it was")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_an_uneven_index_reads_back_as_it_was(source: Path, folder: Path) -> None:
    whole = pictures(source, "a.jpg", "b.jpg", "c.jpg")
    kept = np.array([True, True, True, False, True, True])
    uneven = Pictures(
        whole.folder, whole.names, whole.ids, [t for t, k in zip(whole.captions, kept, strict=True) if k],
        whole.caption_image[kept], np.arange(5) * 7, (source,), {"seed": 3},
    )  # fmt: skip
    write_index({"train": uneven}, folder)
    back = folder_pictures(folder, whole.folder)["train"]
    assert back.captions == uneven.captions
    assert back.names == uneven.names
    for name in ("ids", "caption_image", "caption_ids"):
        np.testing.assert_array_equal(getattr(back, name), getattr(uneven, name))
    assert (back.sources, back.by) == ((source,), {"seed": 3})
    write_index({"train": whole}, folder)
    assert not (folder / "train_caption_image.npy").exists()
    assert not (folder / "train_cap_ids.txt").exists()


def test_the_record_holds_the_hashes_of_sources(source: Path, folder: Path) -> None:
    write_index({"train": pictures(source, "a.jpg")}, folder)
    entry = read_record(folder)["train"]
    assert entry["made_from"] == {str(source): sha256(source)}
    assert (entry["images"], entry["captions"]) == (1, 2)
    assert changed_sources(folder) == {}
    source.write_text("changed")
    assert changed_sources(folder) == {str(source): ["train"]}
    source.unlink()
    assert changed_sources(folder) == {}


def test_a_source_in_the_folder_is_noted_by_its_name(folder: Path) -> None:
    source = folder / "captions.csv"
    source.write_text("as it was")
    write_index({"train": pictures(source, "a.jpg")}, folder)
    assert list(read_record(folder)["train"]["made_from"]) == ["captions.csv"]


def test_splits_that_a_source_no_longer_holds_are_removed(
    source: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_index({"train": pictures(source, "a.jpg"), "dev": pictures(source, "b.jpg", first=1)}, folder)
    write_index({"train": pictures(source, "a.jpg", "b.jpg")}, folder)
    assert splits_of(folder) == ["train"]
    assert list(read_record(folder)) == ["train"]
    assert "the dev split of an earlier call removed" in capsys.readouterr().out


def test_splits_of_other_sources_stay(source: Path, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("test")
    write_index({"train": pictures(source, "a.jpg")}, folder)
    write_index({"test": pictures(other, "t.jpg", first=5)}, folder)
    assert splits_of(folder) == ["train", "test"]
    assert {name: split.names for name, split in read_pictures(folder, tmp_path).items()} == {
        "train": ["a.jpg"],
        "test": ["t.jpg"],
    }


def test_an_id_of_two_pictures_is_refused_before_writing(source: Path, folder: Path, tmp_path: Path) -> None:
    write_index({"train": pictures(source, "a.jpg")}, folder)
    with pytest.raises(InputError, match=r"id 0 is a\.jpg in the train split that is there, t\.jpg in the new one"):
        write_index({"test": pictures(tmp_path / "other.csv", "t.jpg")}, folder)
    assert splits_of(folder) == ["train"]


def test_images_that_come_into_a_second_split_are_warned_of(
    source: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_index({"dev": pictures(source, "a.jpg", "b.jpg")}, folder)
    write_index({"train": pictures(tmp_path / "other.csv", "b.jpg", "c.jpg", first=1)}, folder)
    assert "1 images of train are in dev as well, first b.jpg" in capsys.readouterr().err


def test_captions_beside_features_of_other_images_are_refused(source: Path, folder: Path) -> None:
    first, turned = pictures(source, "a.jpg", "b.jpg"), pictures(source, "b.jpg", "a.jpg")
    write_index({"train": first}, folder)
    require_no_other_features({"train": turned}, folder)
    np.save(folder / "train_ims.npy", np.zeros((2, 3), np.float32))
    require_no_other_features({"train": first, "dev": turned}, folder)
    with pytest.raises(InputError, match="holds features of other images than the captions of train"):
        require_no_other_features({"train": turned}, folder)


def test_captions_that_were_edited_are_found(source: Path, folder: Path) -> None:
    write_index({"train": pictures(source, "a.jpg")}, folder)
    assert edited_captions(folder) == []
    (folder / "train_caps.txt").write_text("one\ntwo\n")
    assert edited_captions(folder) == [folder / "train_caps.txt"]


def test_an_interrupted_index_counts_as_outdated(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vse.data.index_writer._write_companions", fail)
    with pytest.raises(KeyboardInterrupt):
        write_index({"train": pictures(source, "a.jpg")}, folder)
    assert changed_sources(folder) == {str(source): ["train"]}


def test_a_damaged_record_is_refused(folder: Path) -> None:
    (folder / "index.json").write_text(json.dumps({"splits": {"train": {}}}))
    with pytest.raises(InputError, match=r"index\.json: not what"):
        read_record(folder)
